// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/quant4.h"

#include <optional>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/quant4.h"
#include "kernels/cuda/quant4.h"
#include "kernels/ops/contract.h"

namespace qe {

void check_quant4(const Context& ctx, std::string_view op, const Quant4Matrix& q) {
  QE_CHECK(q.n >= 0 && q.k >= 0, op, ": a 4-bit matrix of ", q.n, " x ", q.k);
  const bool power_of_two = q.block_size > 0 && (q.block_size & (q.block_size - 1)) == 0;
  QE_CHECK(power_of_two && q.block_size >= 32 && q.block_size <= 4096, op,
           ": expected a block size of 32, 64, ... 4096, got ", q.block_size);
  QE_CHECK(q.dtype == DType::kF32 || q.dtype == DType::kF16 || q.dtype == DType::kBF16, op,
           ": expected 4-bit values of F32, F16 or BF16, got ", dtype_name(q.dtype));
  if (ctx.planning || q.n * q.k == 0) return;
  QE_CHECK(q.codes != nullptr, op, ": the 4-bit matrix has no codes");
  QE_CHECK((q.absmax != nullptr) != q.nested(), op,
           ": expected exactly one of absmax and absmax_codes");
  QE_CHECK(!q.nested() || (q.nested_absmax != nullptr && q.nested_map != nullptr), op,
           ": double quantization needs nested_absmax and nested_map");
}

void quantize4(Context& ctx, const Tensor& w, Quant4Matrix& out) {
  constexpr const char* kOp = "quantize4";
  check_quant4(ctx, kOp, out);
  contract::check_weight(ctx, kOp, "w", w, out.n, out.k);
  QE_CHECK(w.stride == w.cols || w.rows <= 1, kOp, ": expected a contiguous w, got ", w.cols,
           " columns with a stride of ", w.stride);
  std::optional<Scratch> scratch;
  if (out.nested())
    scratch.emplace(*ctx.arena, sizeof(float) * static_cast<size_t>(out.n_blocks()));
  QE_DISPATCH(ctx, quantize4, ctx, w, out, out.nested() ? scratch->f32() : out.absmax);
}

void dequantize4(Context& ctx, const Quant4Matrix& q, const Tensor& out) {
  constexpr const char* kOp = "dequantize4";
  check_quant4(ctx, kOp, q);
  contract::check_weight(ctx, kOp, "out", out, q.n, q.k);
  QE_DISPATCH(ctx, dequantize4, ctx, q, out);
}

}  // namespace qe
