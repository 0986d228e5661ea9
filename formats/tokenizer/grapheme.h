// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstddef>
#include <string_view>

namespace qe {

/// The end of the extended grapheme cluster (UAX #29) that begins at text[begin]. Regional
/// indicators are not paired: where clusters matter here, only those of less than 6 bytes do.
size_t end_of_grapheme(std::string_view text, size_t begin);

}  // namespace qe
