// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/random.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/random.h"
#include "kernels/cuda/random.h"
#include "kernels/ops/contract.h"

namespace qe {

void random_uniform(Context& ctx, uint64_t stream, float limit, const Tensor& out) {
  constexpr const char* kOp = "random_uniform";
  contract::check_weight(ctx, kOp, "out", out, out.rows, out.cols);
  QE_CHECK(out.stride == out.cols, kOp, ": expected dense rows of ", out.cols, ", got a stride of ",
           out.stride);
  QE_DISPATCH(ctx, random_uniform, ctx, stream, limit, out);
}

void random_bytes(Context& ctx, uint64_t stream, std::span<uint8_t> out) {
  QE_DISPATCH(ctx, random_bytes, ctx, stream, out);
}

}  // namespace qe
