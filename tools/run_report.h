// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What train, eval and plan have in common: reading the configuration and telling people about it.

#include <string>

#include "engine/train/trainer.h"
#include "tools/args.h"
#include "tools/progress.h"

namespace qe::tools {

/// The configuration of a command's arguments; its notes go to `progress`.
RunConfig read_config(const Arguments& arguments, Progress& progress);

/// A few lines: model, adapter, data, run, machine.
std::string summary_text(const RunConfig& config, const RunSummary& summary);
/// The memory table with its totals: the device's, and that of host memory beside it.
std::string memory_text(const std::vector<MemoryRow>& rows, Device device);
/// "11.5 GiB planned, 11.5 GiB in use": a GPU's memory now, by whomever.
std::string device_use_text(const std::vector<MemoryRow>& rows, Device device);
/// Every setting with its value and origin.
std::string settings_text(const RunConfig& config);
/// "loss 2.4721  perplexity 11.85  accuracy 51.1 %".
std::string evaluation_text(const EvalMetrics& metrics);

}  // namespace qe::tools
