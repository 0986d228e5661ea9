// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/epoch_plan.h"

#include <algorithm>
#include <cmath>

namespace qe {

EpochPlan::EpochPlan(std::vector<int64_t> batches, int64_t gradient_accumulation_steps)
    : batches_(std::move(batches)), accumulation_(gradient_accumulation_steps) {
  int64_t first = 0;
  for (int64_t epoch = 0; epoch < static_cast<int64_t>(batches_.size()); ++epoch) {
    firsts_.push_back(first);
    first += updates(epoch);
  }
}

size_t EpochPlan::index(int64_t epoch) const {
  return std::min(static_cast<size_t>(epoch), batches_.size() - 1);
}

int64_t EpochPlan::updates(int64_t epoch) const {
  return (batches(epoch) + accumulation_ - 1) / accumulation_;
}

int64_t EpochPlan::first_update(int64_t epoch) const {
  const auto known = static_cast<int64_t>(index(epoch));
  return firsts_[static_cast<size_t>(known)] + (epoch - known) * updates(known);
}

EpochPlan::Place EpochPlan::place_of(int64_t step) const {
  const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), step);
  int64_t epoch = after - firsts_.begin() - 1;
  if (after == firsts_.end()) epoch += (step - firsts_.back()) / updates(epoch);
  return {epoch, step - first_update(epoch)};
}

int64_t EpochPlan::updates_of(double n_epochs) const {
  const auto whole = static_cast<int64_t>(n_epochs);
  const auto of_epoch = static_cast<double>(updates(whole));
  const double before = static_cast<double>(whole) * of_epoch;
  return first_update(whole) + static_cast<int64_t>(std::ceil(n_epochs * of_epoch - before));
}

double EpochPlan::epochs_of(int64_t step) const {
  const Place place = place_of(step);
  return static_cast<double>(place.epoch) + static_cast<double>(place.update * accumulation_) /
                                                static_cast<double>(batches(place.epoch));
}

}  // namespace qe
