// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/families/name_rules.h"

#include <algorithm>

namespace qe::name_rules {
namespace {

bool begins_with_any(std::string_view name, const std::vector<std::string_view>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](std::string_view beginning) { return name.starts_with(beginning); });
}

void rename_ending(std::string& name, const Rename& rename) {
  if (!name.ends_with(rename.from)) return;
  name.replace(name.size() - rename.from.size(), rename.from.size(), rename.to);
}

}  // namespace

std::string canonical_name(const NameRules& rules, const std::string& stored) {
  std::string name = stored;
  if (begins_with_any(name, rules.bare)) name.insert(0, rules.prefix);
  for (const Rename& rename : rules.beginnings) {
    if (!name.starts_with(rename.from)) continue;
    name.replace(0, rename.from.size(), rename.to);
    break;
  }
  for (const Rename& rename : rules.parts) {
    const size_t at = name.find(rename.from);
    if (at != std::string::npos) name.replace(at, rename.from.size(), rename.to);
  }
  if (begins_with_any(name, rules.ignored) || name.ends_with("position_ids") ||
      name.ends_with("inv_freq") || name.find("contact_head") != std::string::npos) {
    return "";
  }
  rename_ending(name, {"LayerNorm.gamma", "LayerNorm.weight"});
  rename_ending(name, {"LayerNorm.beta", "LayerNorm.bias"});
  return name;
}

}  // namespace qe::name_rules
