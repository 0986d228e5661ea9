// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/transfer.h"

#include <cstring>

#include "kernels/core/cuda.h"
#include "kernels/core/dispatch.h"
#include "kernels/cpu/transfer.h"
#include "kernels/cuda/transfer.h"
#include "kernels/ops/contract.h"

namespace qe {

void copy_bytes(Context& ctx, void* to, const void* from, size_t n_bytes) {
  if (ctx.planning || n_bytes == 0) return;
  if (ctx.device.kind == DeviceKind::kCpu) {
    std::memcpy(to, from, n_bytes);
  } else {
    cuda::copy(to, from, n_bytes, ctx.stream);
  }
}

void copy_mapped(Context& ctx, void* to, const void* from, size_t n_bytes) {
  QE_DISPATCH(ctx, copy_mapped, ctx, to, from, n_bytes);
}

void zero_bytes(Context& ctx, void* memory, size_t n_bytes) {
  if (ctx.planning || n_bytes == 0) return;
  if (ctx.device.kind == DeviceKind::kCpu) {
    std::memset(memory, 0, n_bytes);
  } else {
    cuda::zero(memory, n_bytes, ctx.stream);
  }
}

void synchronize(Context& ctx) {
  if (!ctx.planning && ctx.device.kind == DeviceKind::kCuda) cuda::synchronize(ctx.stream);
}

void cast(Context& ctx, const Tensor& x, const Tensor& y) {
  contract::check_weight(ctx, "cast", "x", x, x.rows, x.cols);
  contract::check_weight(ctx, "cast", "y", y, x.rows, x.cols);
  contract::check_disjoint("cast", "x", x, "y", y);
  QE_DISPATCH(ctx, cast, ctx, x, y);
}

}  // namespace qe
