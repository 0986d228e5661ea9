// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <string>
#include <string_view>

namespace qe {

/// Rewrites a pattern in Oniguruma's (Ruby's) syntax into re2's, for use after "(?m)": groups
/// capture nothing, classes are explicit ranges from the generated tables. Throws Error for what
/// re2 cannot match: look-around, back references, possessive and atomic parts, and rare escapes.
std::string rewrite_oniguruma(std::string_view pattern);

}  // namespace qe
