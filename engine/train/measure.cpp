// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// How long a run will take, from a few of its own updates.
#include <algorithm>
#include <chrono>

#include "engine/train/trainer.h"

namespace qe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kUpdates = 3;      // measured, after one that warms up
constexpr int64_t kEvalBatches = 3;  // the same
constexpr double kPatience = 15.0;   // seconds after which what was measured has to do

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

// Batches are made ahead of time in a run, so making them does not count.
void Trainer::measure_updates(int64_t first, StopToken stop, MeasuredSpeed& speed) {
  const Clock::time_point start = Clock::now();
  std::vector<PackedBatch> batches(static_cast<size_t>(config_.gradient_accumulation_steps));
  for (PackedBatch& batch : batches) {
    batch.token_capacity = parts_->train_capacity;
    batch.label_capacity = parts_->train_capacity;
  }
  const int64_t end = std::min(first + 1 + kUpdates, schedule_.total_steps);
  for (int64_t step = first; step < end; ++step) {
    throw_if_stopped(stop);
    const auto n_micro = static_cast<size_t>(loader_->load_update(step, batches));
    const Clock::time_point update_start = Clock::now();
    update(step, std::span(batches).first(n_micro));
    if (step == first + 1) {  // the one before was to warm up
      speed.n_updates = speed.n_tokens = 0;
      speed.seconds = 0.0;
    }
    speed.seconds += seconds_since(update_start);
    ++speed.n_updates;
    for (size_t i = 0; i < n_micro; ++i) speed.n_tokens += batches[i].n_tokens();
    if (seconds_since(start) > kPatience) break;
  }
}

double Trainer::measure_evaluation(StopToken stop) {
  const auto seconds_of = [&](int64_t n_batches) {
    return evaluate_on(eval_data_, stop, nullptr, n_batches).seconds;
  };
  double seconds = seconds_of(1);
  int64_t n_samples = config_.per_device_eval_batch_size;
  if (seconds < kPatience / 4) {
    seconds = seconds_of(kEvalBatches);
    n_samples *= kEvalBatches;
  }
  n_samples = std::min(n_samples, eval_data_.size());
  int64_t n_tokens = 0;
  for (int64_t i = 0; i < n_samples; ++i) {
    n_tokens += static_cast<int64_t>(eval_data_.ids(i).size());
  }
  return seconds * static_cast<double>(eval_data_.n_tokens()) / static_cast<double>(n_tokens);
}

MeasuredSpeed Trainer::measure(StopToken stop) {
  QE_CHECK(!memory_.planning() && task_ == Task::kMeasure, "this run was not set up for measuring");
  TrainingState state;
  resume(state);
  MeasuredSpeed speed{.updates_left = schedule_.total_steps - state.step};
  if (speed.updates_left <= 0) return speed;
  measure_updates(state.step, stop, speed);
  const double tokens_of_update = static_cast<double>(train_data_.n_tokens()) /
                                  static_cast<double>(loader_->epochs().updates(0));
  speed.training_seconds = static_cast<double>(speed.updates_left) * tokens_of_update *
                           speed.seconds / static_cast<double>(speed.n_tokens);
  if (eval_data_.size() == 0) return speed;
  speed.n_evaluations = config_.eval_on_start && state.step == 0 ? 1 : 0;
  for (int64_t step = state.step + 1; step <= schedule_.total_steps; ++step) {
    speed.n_evaluations += triggers_.after(step, epoch_of(step)).evaluate ? 1 : 0;
  }
  if (speed.n_evaluations > 0) {
    speed.evaluation_seconds = static_cast<double>(speed.n_evaluations) * measure_evaluation(stop);
  }
  return speed;
}

}  // namespace qe
