// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// One adapter that does what several do together: peft's add_weighted_adapter.

#include "engine/convert/converted_tensors.h"
#include "kernels/core/parallel.h"

namespace qe {

struct CombineOptions {
  enum class Type {
    kCat,     ///< factors beside each other: the sum as it is; ranks add up
    kSvd,     ///< the sum's largest singular values and their vectors
    kLinear,  ///< sums of A and of B: the sum and more (products of one's B and another's A)
  };
  Type type = Type::kCat;
  int64_t svd_rank = 0;  ///< kSvd: 0 is the largest of the adapters
  std::vector<WeightedAdapter> adapters;
};

/// The sum of weight * scale * B A over the adapters. Its scale is 1, its targets are the modules
/// that any of them has, everything else that a configuration says is the first one's; of one
/// adapter every way is kLinear, as in peft. Throws Error, naming folder and module, when sizes of
/// modules differ, ranks differ for kLinear, an adapter has magnitudes (DoRA) or parameters in
/// full, or svd_rank is larger than a weight.
Adapter combine_adapters(const CombineOptions& options, ThreadPool& threads);

}  // namespace qe
