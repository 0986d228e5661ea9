// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Learning rate schedules: the formulas and settings of transformers.optimization and of torch's
// ReduceLROnPlateau.

#include <cstdint>
#include <map>
#include <string>

#include "formats/json.h"

namespace qe {

class LrSchedule {
 public:
  struct Options {
    std::string name;              ///< lr_scheduler_type
    Json kwargs = Json::object();  ///< lr_scheduler_kwargs: the keys that the schedule knows
    double learning_rate = 0;      ///< the peak
    int64_t warmup = 0;            ///< updates
    int64_t total = 0;             ///< updates
  };
  /// constant (ignores the warm-up), constant_with_warmup, linear, inverse_sqrt (timescale), cosine
  /// (num_cycles 0.5), cosine_with_restarts (num_cycles 1), polynomial (lr_end 1e-7, power 1),
  /// cosine_with_min_lr (min_lr or min_lr_rate, num_cycles), cosine_warmup_with_min_lr (also
  /// warmup_lr_rate), warmup_stable_decay (num_decay_steps, num_stable_steps, warmup_type and
  /// decay_type: linear, cosine, 1-sqrt; min_lr_ratio, num_cycles), reduce_lr_on_plateau (factor
  /// 0.1, patience 10, threshold 1e-4, threshold_mode rel or abs, cooldown, min_lr, eps 1e-8, mode
  /// min or max). Throws Error for an unknown schedule, and naming the key for settings it does not
  /// know, needs or allow.
  explicit LrSchedule(const Options& options);

  /// The learning rate of update `step` (0-based).
  double rate(int64_t step) const;

  /// Whether evaluations drive the schedule (reduce_lr_on_plateau).
  bool follows_metric() const { return name_ == kPlateau; }
  /// One evaluation's result.
  void observe(double metric);
  /// What observe() has changed, for checkpoints; null for schedules that are functions of the
  /// step.
  Json state() const;
  void restore(const Json& state);

 private:
  static constexpr const char* kPlateau = "reduce_lr_on_plateau";
  double number(const std::string& key) const { return numbers_.at(key); }
  const std::string& text(const std::string& key) const { return texts_.at(key); }
  void check();
  double factor(int64_t step) const;
  double after_warmup(double step) const;
  double stable_decay(double step) const;
  bool is_better(double metric) const;

  std::string name_;
  double peak_;
  double warmup_;
  double total_;
  std::map<std::string, double> numbers_;
  std::map<std::string, std::string> texts_;

  // reduce_lr_on_plateau.
  double plateau_rate_;
  double best_;
  int64_t n_bad_ = 0;
  int64_t cooldown_left_ = 0;
};

}  // namespace qe
