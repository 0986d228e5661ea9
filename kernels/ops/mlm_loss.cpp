// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/mlm_loss.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/mlm_loss.h"
#include "kernels/cuda/mlm_loss.h"
#include "kernels/ops/contract.h"
#include "kernels/ops/gemm.h"

namespace qe {
namespace {

// Of one chunk: bytes of logits, as long as rows stay in bounds.
struct ChunkLimits {
  int64_t n_bytes, min_rows, max_rows;
};
constexpr ChunkLimits kCpuChunk{int64_t{64} << 20, 16, 512};
constexpr ChunkLimits kGpuChunk{int64_t{512} << 20, 64, 2048};
constexpr int64_t kRowUnit = 16;       // floats: rows begin at multiples of 64 bytes
constexpr int64_t kGpuTileRows = 128;  // of products: a chunk of whole tiles wastes none

void check_head(const Context& ctx, const char* op, const Tensor& hidden, const Tensor& decoder,
                const Tensor& bias) {
  QE_CHECK(decoder.rows > 0, op, ": the decoder has no rows");
  contract::check_computed(ctx, op, "hidden", hidden, hidden.rows, decoder.cols);
  contract::check_weight(ctx, op, "decoder", decoder, decoder.rows, decoder.cols);
  if (bias) contract::check_matrix(ctx, op, "bias", bias, 1, decoder.rows);
}

int64_t vocab_of(const MlmLoss& args) {
  return args.vocab_size > 0 ? args.vocab_size : args.decoder.rows;
}

void check_loss(const Context& ctx, const MlmLoss& args) {
  constexpr const char* kOp = "mlm_loss";
  const int64_t rows = args.hidden.rows;
  check_head(ctx, kOp, args.hidden, args.decoder, args.bias);
  QE_CHECK(args.vocab_size >= 0 && args.vocab_size <= args.decoder.rows, kOp, ": a vocabulary of ",
           args.vocab_size, ", but the decoder has ", args.decoder.rows, " rows");
  contract::check_count(kOp, "labels", args.labels.size(), rows);
  if (args.d_hidden) {
    contract::check_computed(ctx, kOp, "d_hidden", args.d_hidden, rows, args.decoder.cols);
    contract::check_in_place(kOp, "hidden", args.hidden, "d_hidden", args.d_hidden);
    QE_CHECK(ctx.step != nullptr, kOp, ": the gradient reads Context::step, which is null");
  }
  QE_CHECK(args.label_smoothing >= 0.0f && args.label_smoothing < 1.0f, kOp,
           ": expected label smoothing in [0, 1), got ", args.label_smoothing);
  if (args.row_loss) contract::check_matrix(ctx, kOp, "row_loss", args.row_loss, 1, rows);
  if (ctx.device.kind != DeviceKind::kCpu || ctx.planning) return;
  for (size_t i = 0; i < args.labels.size(); ++i) {
    QE_CHECK(args.labels[i] >= 0 && args.labels[i] < vocab_of(args), kOp, ": labels[", i, "] is ",
             args.labels[i], ", expected 0 .. ", vocab_of(args) - 1);
  }
}

}  // namespace

int64_t mlm_loss_chunk_rows(Device device, int64_t vocab_size) {
  const ChunkLimits& limits = device.kind == DeviceKind::kCpu ? kCpuChunk : kGpuChunk;
  const int64_t row_bytes = std::max<int64_t>(vocab_size, 1) * static_cast<int64_t>(sizeof(float));
  const int64_t rows = std::clamp(limits.n_bytes / row_bytes, limits.min_rows, limits.max_rows);
  if (device.kind == DeviceKind::kCpu || rows < kGpuTileRows) return rows;
  return rows / kGpuTileRows * kGpuTileRows;
}

void mlm_logits(Context& ctx, const Tensor& hidden, const Tensor& decoder, const Tensor& bias,
                const Tensor& logits) {
  check_head(ctx, "mlm_logits", hidden, decoder, bias);
  contract::check_matrix(ctx, "mlm_logits", "logits", logits, hidden.rows, logits.cols);
  QE_CHECK(logits.cols <= decoder.rows, "mlm_logits: expected logits of at most ", decoder.rows,
           " columns, got ", logits.cols);
  gemm(ctx, {.a = hidden,
             .b = decoder.row_range(0, logits.cols),
             .b_transposed = true,
             .bias = bias ? bias.col_range(0, logits.cols) : bias,
             .c = logits});
}

void mlm_loss(Context& ctx, const MlmLoss& args) {
  check_loss(ctx, args);
  const int64_t n_rows = args.hidden.rows;
  const int64_t cols = args.decoder.rows;
  const int64_t stride = (cols + kRowUnit - 1) / kRowUnit * kRowUnit;
  const int64_t chunk = std::min(n_rows, mlm_loss_chunk_rows(ctx.device, vocab_of(args)));
  if (n_rows == 0) return;
  const Scratch logits_scratch(*ctx.arena, static_cast<size_t>(chunk * stride) * sizeof(float));
  const Scratch losses(*ctx.arena, static_cast<size_t>(chunk) * sizeof(float));
  const Scratch correct(*ctx.arena, static_cast<size_t>(chunk) * sizeof(int32_t));
  for (int64_t begin = 0; begin < n_rows; begin += chunk) {
    const int64_t n = std::min(chunk, n_rows - begin);
    Tensor logits = make_tensor(logits_scratch.data(), n, cols, DType::kF32, ctx.device);
    logits.stride = stride;
    mlm_logits(ctx, args.hidden.row_range(begin, n), args.decoder, args.bias, logits);
    const MlmLossRows rows{
        .logits = logits,
        .vocab_size = vocab_of(args),
        .labels = args.labels.subspan(static_cast<size_t>(begin), static_cast<size_t>(n)),
        .gradient = static_cast<bool>(args.d_hidden),
        .row_loss = args.row_loss ? args.row_loss.col_range(begin, n) : Tensor{},
        .totals = args.totals,
        .losses = losses.f32(),
        .correct = static_cast<int32_t*>(correct.data()),
        .label_smoothing = args.label_smoothing};
    QE_DISPATCH(ctx, mlm_loss_rows, ctx, rows);
    if (!args.d_hidden) continue;
    Tensor d_logits = make_tensor(logits_scratch.data(), n, cols, ctx.compute, ctx.device);
    d_logits.stride = stride * static_cast<int64_t>(sizeof(float) / dtype_size(ctx.compute));
    gemm(ctx, {.a = d_logits,
               .b = args.decoder,
               .b_transposed = false,
               .c = args.d_hidden.row_range(begin, n)});
  }
}

}  // namespace qe
