// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/paired_difference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/error.h"

namespace qe {

double student_t_95(int64_t n) {
  constexpr double kFew[] = {12.706205, 4.302653, 3.182446, 2.776445};
  if (n <= 4) return kFew[n - 1];
  // Cornish and Fisher's expansion; Abramowitz and Stegun 1964, 26.7.5.
  constexpr double x = 1.959963984540054, x2 = x * x;
  const double v = static_cast<double>(n);
  const double g1 = x * (x2 + 1) / 4;
  const double g2 = x * ((5 * x2 + 16) * x2 + 3) / 96;
  const double g3 = x * (((3 * x2 + 19) * x2 + 17) * x2 - 15) / 384;
  const double g4 = x * ((((79 * x2 + 776) * x2 + 1482) * x2 - 1920) * x2 - 945) / 92160;
  return x + (g1 + (g2 + (g3 + g4 / v) / v) / v) / v;
}

PairedDifference paired_difference(const SequenceLosses& first, const SequenceLosses& second) {
  QE_CHECK(first.n_labels == second.n_labels && first.losses.size() == first.n_labels.size() &&
               second.losses.size() == second.n_labels.size(),
           "the two models were not asked about the same labels");
  double difference = 0.0;
  int64_t n_labels = 0, n_sequences = 0;
  for (size_t i = 0; i < first.losses.size(); ++i) {
    difference += second.losses[i] - first.losses[i];
    n_labels += first.n_labels[i];
    n_sequences += first.n_labels[i] > 0;
  }
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (n_sequences == 0) return {.loss = 0.0, .low = kNone, .high = kNone};
  const double ratio = difference / static_cast<double>(n_labels);
  if (n_sequences == 1) return {.loss = ratio, .low = kNone, .high = kNone};
  // Leaving out sequence i moves the ratio by (its residual) / (the labels that are left).
  double sum = 0.0, sum_of_squares = 0.0;
  for (size_t i = 0; i < first.losses.size(); ++i) {
    const int64_t own = first.n_labels[i];
    if (own == 0) continue;
    const double residual = second.losses[i] - first.losses[i] - ratio * static_cast<double>(own);
    const double moved = residual / static_cast<double>(n_labels - own);
    sum += moved;
    sum_of_squares += moved * moved;
  }
  const double n = static_cast<double>(n_sequences);
  const double variance = (n - 1) / n * std::max(0.0, sum_of_squares - sum * sum / n);
  const double half = student_t_95(n_sequences - 1) * std::sqrt(variance);
  return {.loss = ratio, .low = ratio - half, .high = ratio + half};
}

}  // namespace qe
