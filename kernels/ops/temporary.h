// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What ops that are composed of others keep between them.

#include <cstddef>
#include <cstdint>

#include "kernels/core/arena.h"
#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// A dense matrix (rows, cols) of the computed type in the context's arena that lives as long as
/// this; uninitialized.
class Temporary {
 public:
  Temporary(Context& ctx, int64_t rows, int64_t cols)
      : scratch_(*ctx.arena, static_cast<size_t>(rows * cols) * dtype_size(ctx.compute)),
        matrix_(make_tensor(scratch_.data(), rows, cols, ctx.compute, ctx.device)) {}
  const Tensor& matrix() const { return matrix_; }

 private:
  Scratch scratch_;
  Tensor matrix_;
};

}  // namespace qe
