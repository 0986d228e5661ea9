// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What an adapter trains, layers put together: "bert.encoder.layer.{i}.output.dense", 12 times.

#include <string>
#include <vector>

#include "engine/model/lora.h"

namespace qe::tools {

/// Modules that differ in indices only.
struct ModuleGroup {
  std::string pattern;  ///< path with {i} for what is a number
  int64_t n_modules = 0;
  int64_t in = 0, out = 0, r = 0;  ///< 0 of what is trained in full
  int64_t n_parameters = 0;        ///< trained, of all of them
};

/// In the order in which their first modules come; then parameters that are trained in full, by the
/// names they have in the adapter's file.
std::vector<ModuleGroup> module_groups(const LoraAdapter& adapter);

/// "bert.encoder.layer.3.output.dense" as "bert.encoder.layer.{i}.output.dense".
std::string without_index(const std::string& module);

}  // namespace qe::tools
