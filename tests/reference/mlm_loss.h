// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Cross-entropy of one row of logits in float64, for tests. Never for use outside tests.

#include <algorithm>
#include <cmath>
#include <vector>

namespace qe::reference {

struct CrossEntropy {
  double loss;
  bool correct;                  ///< the label has the highest logit and none before it is as high
  std::vector<double> d_logits;  ///< softmax - target
};

/// The target is (1 - smoothing) at the label plus smoothing / n everywhere.
inline CrossEntropy cross_entropy(const std::vector<double>& logits, size_t label,
                                  double smoothing = 0.0) {
  const auto top = std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const double x : logits) sum += std::exp(x - *top);
  const double log_sum = std::log(sum) + *top;
  CrossEntropy result{0.0, static_cast<size_t>(top - logits.begin()) == label, {}};
  for (size_t i = 0; i < logits.size(); ++i) {
    const double target =
        smoothing / static_cast<double>(logits.size()) + (i == label ? 1.0 - smoothing : 0.0);
    if (target > 0.0) result.loss += target * (log_sum - logits[i]);
    result.d_logits.push_back(std::exp(logits[i] - *top) / sum - target);
  }
  return result;
}

}  // namespace qe::reference
