// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// When a run logs, evaluates and saves, and which checkpoint is its best: the rules of
// transformers' Trainer.

#include <cstdint>
#include <optional>
#include <string>

#include "engine/train/metrics.h"
#include "formats/run_config.h"

namespace qe {

/// What is to be done after an update.
struct DueActions {
  bool log = false;
  bool evaluate = false;
  bool save = false;
};

class Triggers {
 public:
  Triggers() = default;
  /// Intervals below 1 are ratios of total_steps. Throws Error when load_best_model_at_end does not
  /// go with the strategies: every checkpoint must have been evaluated.
  Triggers(const RunConfig& config, int64_t total_steps);

  /// After update `step` (1-based), at `epoch`: whole where it ends one, as the last update does.
  DueActions after(int64_t step, double epoch) const;

  int64_t logging_steps() const { return logging_steps_; }
  int64_t eval_steps() const { return eval_steps_; }
  int64_t save_steps() const { return save_steps_; }

 private:
  std::string logging_ = "steps", evaluation_ = "no", saving_ = "no";
  int64_t logging_steps_ = 1, eval_steps_ = 1, save_steps_ = 1;
  bool first_ = false;
  double eval_delay_ = 0.0;
  int64_t total_steps_ = 0;
};

/// metric_for_best_model: one of the evaluation's numbers.
class BestMetric {
 public:
  BestMetric() = default;
  explicit BestMetric(const RunConfig& config);

  /// Whether the run asks for a best checkpoint.
  bool tracked() const { return tracked_; }
  double value_of(const EvalMetrics& metrics) const;
  /// Whether `value` beats `best` (absent: nothing to beat); NaN never does.
  bool is_better(double value, std::optional<double> best) const;
  /// Evaluations in a row that were not better than the best by more than early_stopping_threshold,
  /// after one of this value, `before` it, `best` being the best before it.
  int64_t count_not_better(double value, std::optional<double> best, int64_t before) const;
  /// Whether so many end the run.
  bool ends(int64_t n_not_better) const { return patience_ > 0 && n_not_better >= patience_; }

 private:
  int64_t patience_ = 0;
  double threshold_ = 0.0;
  std::string key_ = "eval_loss";  ///< of to_json(EvalMetrics)
  bool greater_is_better_ = false;
  bool tracked_ = false;
};

}  // namespace qe
