// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/module_groups.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace qe::tools {

std::string without_index(const std::string& module) {
  std::string out;
  for (size_t i = 0; i < module.size();) {
    const size_t end = std::min(module.find('.', i), module.size());
    const std::string part = module.substr(i, end - i);
    const bool index = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    out += cat(out.empty() ? "" : ".", index ? "{i}" : part);
    i = end + 1;
  }
  return out;
}

std::vector<ModuleGroup> module_groups(const LoraAdapter& adapter) {
  std::vector<ModuleGroup> groups;
  for (const LoraPair& pair : adapter.pairs()) {
    const std::string pattern = without_index(pair.module);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const ModuleGroup& g) {
      return g.pattern == pattern && g.in == pair.in && g.out == pair.out && g.r == pair.r;
    });
    if (group == groups.end()) {
      groups.push_back({.pattern = pattern, .in = pair.in, .out = pair.out, .r = pair.r});
      group = groups.end() - 1;
    }
    ++group->n_modules;
    group->n_parameters += pair.r * (pair.in + pair.out) + (pair.magnitude ? pair.out : 0);
  }
  for (const FullTensor& full : adapter.full_tensors()) {
    const std::string pattern = without_index(full.names.front());
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const ModuleGroup& g) { return g.pattern == pattern; });
    if (group == groups.end()) {
      groups.push_back({.pattern = pattern});
      group = groups.end() - 1;
    }
    ++group->n_modules;
    int64_t n = 1;
    for (const int64_t size : full.shape) n *= size;
    group->n_parameters += n;
  }
  return groups;
}

}  // namespace qe::tools
