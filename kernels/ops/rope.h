// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Rotary positions (Su et al. 2021, arXiv:2104.09864), in the form of GPT-NeoX: column j of a
// head's first half and column j of its second half are turned together, by the angle that the
// row's position has at j.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

struct Rope {
  std::span<const uint32_t> positions;  ///< (T) rows of the table
  Tensor table;          ///< (positions, D) fp32: the cosines of D / 2 angles, then their sines
  int64_t n_heads = 0;   ///< heads side by side from column 0 on; other columns stay
  int64_t head_dim = 0;  ///< D, even
};

/// Turns x (T, at least n_heads * D) of the compute type in place; `back`: by the negative angles,
/// which is the gradient. Positions outside the table throw Error (CPU: checked here; CUDA: the
/// caller has checked them).
void rope(Context& ctx, const Rope& spec, const Tensor& x, bool back);

}  // namespace qe
