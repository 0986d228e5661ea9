// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/loss_watch.h"

#include <algorithm>

namespace qe {

LossWatch::Finding LossWatch::see(double loss, bool bad) {
  if (bad) {
    ++bad_in_row_;
    return options_.max_bad > 0 && bad_in_row_ >= options_.max_bad ? Finding::kTooManyBad
                                                                   : Finding::kNone;
  }
  bad_in_row_ = 0;
  if (options_.window <= 0) return Finding::kNone;
  const bool full = static_cast<int64_t>(losses_.size()) >= options_.window;
  if (full) {
    mean_ = 0.0;
    for (const double value : losses_) mean_ += value / static_cast<double>(losses_.size());
    losses_.erase(losses_.begin());
  }
  losses_.push_back(loss);
  return full && loss > options_.threshold * mean_ ? Finding::kSpike : Finding::kNone;
}

void LossWatch::forget() {
  bad_in_row_ = 0;
  losses_.clear();
}

Json LossWatch::state() const {
  Json losses = Json::array();
  for (const double loss : losses_) losses.push_back(loss);
  return Json::object({{"bad_in_row", bad_in_row_}, {"losses", losses}});
}

void LossWatch::restore(const Json& state) {
  forget();
  bad_in_row_ = state.at("bad_in_row").as_int();
  const std::vector<Json>& losses = state.at("losses").items();
  // With a window that was made smaller, the newest.
  const size_t n = std::min(losses.size(), static_cast<size_t>(options_.window));
  for (size_t i = losses.size() - n; i < losses.size(); ++i) {
    losses_.push_back(losses[i].as_double());
  }
}

}  // namespace qe
