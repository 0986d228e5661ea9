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
  std::vector<double> d_logits;  ///< softmax - one_hot(label)
};

inline CrossEntropy cross_entropy(const std::vector<double>& logits, size_t label) {
  const auto top = std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const double x : logits) sum += std::exp(x - *top);
  CrossEntropy result{
      std::log(sum) + *top - logits[label], static_cast<size_t>(top - logits.begin()) == label, {}};
  for (const double x : logits) result.d_logits.push_back(std::exp(x - *top) / sum);
  result.d_logits[label] -= 1.0;
  return result;
}

}  // namespace qe::reference
