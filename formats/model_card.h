// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The README.md beside an adapter: peft's front matter, what the adapter is, how it came about.

#include <string>

#include "formats/adapter.h"

namespace qe {

/// A model card. `training` is Markdown that is put at its end.
std::string model_card(const AdapterConfig& config, size_t n_pairs, const std::string& training);

/// Writes `card` as README.md of the folder, with a last line by which it is known again. One that
/// somebody else wrote, or changed, stays: false. Throws Error.
bool write_model_card(const std::string& folder, const std::string& card);

/// A value as JSON in Markdown's code marks: one line, whatever it holds.
std::string card_code(const Json& value);

}  // namespace qe
