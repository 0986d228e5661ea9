// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Statistics of rows of logits and the cross-entropy made of them.

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace qe::cpu {

struct SoftmaxRow {
  float max;
  float sum;  ///< of exp(x - max)
};

struct CrossEntropyRows {
  float* logits;  ///< (T, cols)
  int64_t stride;
  int64_t cols;
  const int32_t* labels;
  float smoothing;  ///< s: the label counts 1 - s, every column s / cols
  bool gradient;    ///< replaces logits by scale * (softmax - (1 - s) one_hot(label) - s / cols)
  float scale;
  float* losses;     ///< (T) out
  int32_t* correct;  ///< (T) out: 1 when the highest logit (lowest id among equals) is the label's
};

QE_PER_ISA(SoftmaxRow softmax_row(const float* logits, int64_t n);
           // Rows [begin, end).
           void cross_entropy_rows(const CrossEntropyRows& args, int64_t begin, int64_t end);
           // exp of n numbers, in place.
           void exp_in_place(float* values, int64_t n);)

}  // namespace qe::cpu
