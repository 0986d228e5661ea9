// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What the losses of a run say about its health.

#include <cstdint>
#include <vector>

#include "formats/json.h"

namespace qe {

class LossWatch {
 public:
  struct Options {
    int64_t max_bad = 0;     ///< updates in a row that may be bad; 0: any number
    int64_t window = 0;      ///< losses that a spike is measured by; 0: spikes are not looked for
    double threshold = 3.0;  ///< a spike is above so many times their mean
  };
  enum class Finding { kNone, kSpike, kTooManyBad };

  explicit LossWatch(const Options& options) : options_(options) {}

  /// After every update. bad: loss or gradient was not finite.
  Finding see(double loss, bool bad);
  /// Starts anew, after a rewind.
  void forget();

  int64_t bad_in_row() const { return bad_in_row_; }
  /// Of the window's losses before the last one seen.
  double mean() const { return mean_; }

  /// For checkpoints.
  Json state() const;
  void restore(const Json& state);

 private:
  Options options_;
  int64_t bad_in_row_ = 0;
  double mean_ = 0.0;
  std::vector<double> losses_;  // at most `window`, oldest first
};

}  // namespace qe
