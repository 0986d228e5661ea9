// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/triggers.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"

namespace qe {
namespace {

int64_t interval(double steps, int64_t total) {
  const double whole = steps < 1.0 ? std::ceil(steps * static_cast<double>(total)) : steps;
  return std::max<int64_t>(1, static_cast<int64_t>(whole));
}

}  // namespace

Triggers::Triggers(const RunConfig& config, int64_t total_steps)
    : logging_(config.logging_strategy),
      evaluation_(config.eval_strategy),
      saving_(config.save_strategy),
      logging_steps_(interval(config.logging_steps, total_steps)),
      eval_steps_(
          interval(config.eval_steps > 0 ? config.eval_steps : config.logging_steps, total_steps)),
      save_steps_(interval(config.save_steps, total_steps)),
      first_(config.logging_first_step),
      eval_delay_(config.eval_delay),
      total_steps_(total_steps) {
  QE_CHECK(saving_ != "best" || evaluation_ != "no",
           "save_strategy \"best\" needs evaluations: set eval_strategy");
  QE_CHECK(config.early_stopping_patience == 0 || evaluation_ != "no",
           "early_stopping_patience needs evaluations: set eval_strategy");
  if (!config.load_best_model_at_end || saving_ == "best") return;
  QE_CHECK(
      evaluation_ == saving_ && saving_ != "no",
      "load_best_model_at_end needs the same eval_strategy and save_strategy (steps or epoch), "
      "or save_strategy \"best\"; got \"",
      evaluation_, "\" and \"", saving_, "\"");
  QE_CHECK(saving_ != "steps" || save_steps_ % eval_steps_ == 0,
           "load_best_model_at_end needs save_steps to be a multiple of eval_steps, got ",
           save_steps_, " and ", eval_steps_);
}

DueActions Triggers::after(int64_t step, double epoch) const {
  const bool last = step == total_steps_;
  const bool epoch_ends = last || epoch == std::floor(epoch);
  const auto due = [&](const std::string& strategy, int64_t steps) {
    return strategy == "epoch" ? epoch_ends : strategy == "steps" && step % steps == 0;
  };
  DueActions actions;
  actions.log = due(logging_, logging_steps_) || (first_ && step == 1);
  const double waited = evaluation_ == "epoch" ? epoch : static_cast<double>(step);
  const bool final_evaluation = last && evaluation_ == "steps";
  actions.evaluate = (due(evaluation_, eval_steps_) || final_evaluation) && eval_delay_ <= waited;
  actions.save = due(saving_, save_steps_) || (last && saving_ == "steps");
  return actions;
}

BestMetric::BestMetric(const RunConfig& config) {
  std::string name = config.metric_for_best_model.empty() ? "loss" : config.metric_for_best_model;
  if (!name.starts_with("eval_")) name = "eval_" + name;
  key_ = name;
  const Json known = to_json(EvalMetrics{});
  const Json* value = known.find(key_);
  QE_CHECK(value && value->is_number(),
           "metric_for_best_model: expected loss, loss_hf, perplexity or "
           "accuracy, got ",
           Json(config.metric_for_best_model).dump());
  greater_is_better_ = config.greater_is_better.value_or(key_ == "eval_accuracy");
  patience_ = config.early_stopping_patience;
  threshold_ = config.early_stopping_threshold;
  tracked_ = patience_ > 0 || config.load_best_model_at_end || config.save_strategy == "best" ||
             !config.metric_for_best_model.empty();
}

double BestMetric::value_of(const EvalMetrics& metrics) const {
  return to_json(metrics).at(key_).as_double();
}

bool BestMetric::is_better(double value, std::optional<double> best) const {
  if (std::isnan(value)) return false;
  if (!best) return true;
  return greater_is_better_ ? value > *best : value < *best;
}

int64_t BestMetric::count_not_better(double value, std::optional<double> best,
                                     int64_t before) const {
  const bool better = is_better(value, best) && (!best || std::abs(value - *best) > threshold_);
  return better ? 0 : before + 1;
}

}  // namespace qe
