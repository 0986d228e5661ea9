// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// From the tensor names that files of a family have to the names that its EncoderNames say.

#include <string>
#include <string_view>
#include <vector>

namespace qe::name_rules {

/// What a name has, and what it shall have instead.
struct Rename {
  std::string_view from, to;
};

struct NameRules {
  std::string_view prefix;                ///< "bert."
  std::vector<std::string_view> bare;     ///< beginnings that lack it in a bare encoder
  std::vector<std::string_view> ignored;  ///< beginnings of what masked LMs do not use
  std::vector<Rename> beginnings = {};    ///< after the prefix; the first that fits
  std::vector<Rename> parts = {};         ///< wherever they stand; all that fit
};

/// Prefixes bare names, renames, and writes LayerNorm.gamma and .beta as weight and bias. "" for
/// what is ignored; so are position_ids, inv_freq and contact heads, which no family reads.
std::string canonical_name(const NameRules& rules, const std::string& stored);

}  // namespace qe::name_rules
