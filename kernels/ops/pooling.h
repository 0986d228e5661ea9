// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// One row for each sequence of a packed batch.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// y[b] = the mean of x's rows [cu_seqlens[b], cu_seqlens[b + 1]): their fp32 sum in ascending
/// order, divided once.
struct SequenceMean {
  Tensor x;                             ///< (T, C) computed
  std::span<const int32_t> cu_seqlens;  ///< (B + 1), from 0 to T; no sequence is empty
  Tensor y;                             ///< (B, C) fp32; not x's memory
};
void sequence_mean(Context& ctx, const SequenceMean& args);

}  // namespace qe
