// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The share of tokens to predict over a run (Ankner et al. 2023, arXiv:2305.15096: from many to
// few; Wettig et al. 2022, arXiv:2202.08005: how many are best). A function of the update alone.

#include <cstdint>

namespace qe {

class MaskRate {
 public:
  struct Options {
    double begin = 0.15;  ///< at the first update
    double end = 0.15;    ///< at the last
    bool cosine = false;  ///< half a wave between them; else a line
    int64_t total = 1;    ///< updates
  };
  explicit MaskRate(const Options& options) : options_(options) {}

  /// At update `step`, 0-based.
  double at(int64_t step) const;

 private:
  Options options_;
};

}  // namespace qe
