// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Several adapters of one base, and the base itself, over several validation sets with the same
// masks.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/metrics.h"
#include "engine/train/paired_difference.h"
#include "engine/train/stop_token.h"
#include "formats/run_config.h"
#include "kernels/core/log.h"

namespace qe {

struct ComparedModel {
  std::string adapter;  ///< folder; "": the base alone
  EvalMetrics metrics;  ///< as Trainer::evaluate gives them for this model and set alone
  std::optional<PairedDifference> to_first;  ///< of all models but the first
};

struct ComparedSet {
  std::string file;
  std::vector<ComparedModel> models;
};

/// Evaluates every adapter ("": the base) on every validation file; the settings say the rest, but
/// for adapter_name_or_path and validation_file. A set is read once, and one model is in memory at
/// a time. Calls `on_evaluation`, which may be empty, after each. Throws Error as Trainer does;
/// Stopped.
std::vector<ComparedSet> compare_models(
    const RunConfig& config, const std::vector<std::string>& adapters,
    const std::vector<std::string>& files, const Log& log, StopToken stop,
    const std::function<void(const ComparedSet&, const ComparedModel&)>& on_evaluation);

}  // namespace qe
