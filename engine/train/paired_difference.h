// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// How much two models differ in their loss over the same masked data, and how sure that is.
//
// Both see the same masks, so what makes one sequence harder than another falls out of the
// difference; what is left is small beside the spread of the losses themselves. A loss is a mean
// over labels, but labels of a sequence share its words: the independent draws are sequences. The
// difference is therefore a ratio of two sums over sequences (of the losses' differences, and of
// labels), whose error is the jackknife's (Quenouille 1956; Cochran 1977, "Sampling Techniques",
// sections 6.4 and 4.11 of ratio estimators), with Student's t for its quantile. A bootstrap over
// sequences gives the same interval for many sequences and a narrower one for few, costs a thousand
// resamples and needs a seed; this needs neither, and is exactly 0 where nothing differs.
//
// Sequences cut from one document are alike: the interval is of data like these sequences, and too
// narrow for other documents where there are few of them.

#include <cstdint>
#include <vector>

namespace qe {

/// Of each sequence of an evaluation, in the dataset's order.
struct SequenceLosses {
  std::vector<double> losses;     ///< sum over its labels, natural log
  std::vector<int64_t> n_labels;  ///< may be 0
};

struct PairedDifference {
  double loss = 0.0;  ///< of the second, less that of the first: below 0 the second is better
  double low = 0.0;   ///< of the 95 % confidence interval; NaN of fewer than two sequences
  double high = 0.0;

  /// Whether the interval leaves out 0.
  bool significant() const { return low > 0.0 || high < 0.0; }
};

/// Throws Error when the sequences or their labels are not the same.
PairedDifference paired_difference(const SequenceLosses& first, const SequenceLosses& second);

/// Student's t: what |t| of n > 0 degrees of freedom stays below in 95 % of draws. Off by less than
/// 2e-4 of it.
double student_t_95(int64_t n);

}  // namespace qe
