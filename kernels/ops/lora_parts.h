// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What ops/lora.cpp hands to its backends.

#include "kernels/core/tensor.h"
#include "kernels/ops/lora.h"

namespace qe {

/// What becomes of x before a sum over it: dropout(activation(x)).
struct Preparation {
  std::optional<Activation> activation;
  Dropout dropout;

  bool none() const { return !activation && dropout.p == 0.0f; }
};

/// A product with dropout inside: of A, stacked from the parts', with dropout(x), or dropped on its
/// way to x.
struct DroppedProduct {
  Tensor x;  ///< (T, K)
  Dropout dropout;
  std::span<const LoraSegment* const> parts;
  Tensor t;  ///< (T, sum of ranks)
};

/// A matrix that becomes a block of a larger one of the same type; from absent: zeros.
struct CopiedBlock {
  Tensor from, to;
};
/// B or zeros for each pair of parts, A and bias of each.
inline constexpr size_t kMaxCopiedBlocks = kMaxLoraParts * (kMaxLoraParts + 2);

}  // namespace qe
