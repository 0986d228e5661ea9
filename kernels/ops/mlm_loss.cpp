// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/mlm_loss.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/mlm_loss.h"
#include "kernels/cuda/mlm_loss.h"
#include "kernels/ops/column_sums.h"
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

int64_t padded(int64_t cols) { return (cols + kRowUnit - 1) / kRowUnit * kRowUnit; }

void check_replaced(const Context& ctx, const char* op, const ReplacedRows& replaced, int64_t cols,
                    int64_t vocab_size) {
  if (!replaced.rows) return;
  const int64_t n = static_cast<int64_t>(replaced.ids.size());
  contract::check_computed(ctx, op, "replaced rows", replaced.rows, n, cols);
  if (ctx.device.kind != DeviceKind::kCpu || ctx.planning) return;
  for (size_t i = 0; i < replaced.ids.size(); ++i) {
    QE_CHECK(replaced.ids[i] >= 0 && replaced.ids[i] < vocab_size, op, ": replaced id [", i,
             "] is ", replaced.ids[i], ", expected 0 .. ", vocab_size - 1);
  }
}

int64_t vocab_of(const MlmLoss& args) {
  return args.vocab_size > 0 ? args.vocab_size : args.decoder.rows;
}

bool wants_gradient(const MlmLoss& args) {
  return args.d_hidden || args.d_decoder || args.d_bias || args.d_replaced;
}

void check_decoder_gradients(const Context& ctx, const MlmLoss& args) {
  constexpr const char* kOp = "mlm_loss";
  const int64_t cols = args.decoder.cols;
  const int64_t vocab = vocab_of(args);
  const auto check_size = [&](const char* name, int64_t n) {
    QE_CHECK(n >= vocab && n <= args.decoder.rows, kOp, ": expected ", name, " of ", vocab, " to ",
             args.decoder.rows, " words, got ", n);
  };
  if (args.d_decoder) {
    contract::check_matrix(ctx, kOp, "d_decoder", args.d_decoder, args.d_decoder.rows, cols);
    check_size("d_decoder", args.d_decoder.rows);
  }
  if (args.d_bias) {
    contract::check_matrix(ctx, kOp, "d_bias", args.d_bias, 1, args.d_bias.cols);
    check_size("d_bias", args.d_bias.cols);
  }
  check_replaced(ctx, kOp, args.replaced, cols, vocab);
  if (!args.d_replaced) return;
  QE_CHECK(args.replaced.rows, kOp, ": d_replaced without replaced rows");
  contract::check_matrix(ctx, kOp, "d_replaced", args.d_replaced, args.replaced.rows.rows, cols);
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
  }
  QE_CHECK(!wants_gradient(args) || ctx.step != nullptr, kOp,
           ": the gradient reads Context::step, which is null");
  QE_CHECK(args.label_smoothing >= 0.0f && args.label_smoothing < 1.0f, kOp,
           ": expected label smoothing in [0, 1), got ", args.label_smoothing);
  if (args.row_loss) contract::check_matrix(ctx, kOp, "row_loss", args.row_loss, 1, rows);
  check_decoder_gradients(ctx, args);
  if (ctx.device.kind != DeviceKind::kCpu || ctx.planning) return;
  for (size_t i = 0; i < args.labels.size(); ++i) {
    QE_CHECK(args.labels[i] >= 0 && args.labels[i] < vocab_of(args), kOp, ": labels[", i, "] is ",
             args.labels[i], ", expected 0 .. ", vocab_of(args) - 1);
  }
}

// Of replaced rows: scratch for a chunk's logits, then dlogits.
size_t chosen_bytes(const ReplacedRows& replaced, int64_t n_rows) {
  if (!replaced.rows) return 0;
  return static_cast<size_t>(n_rows * padded(replaced.rows.rows)) * sizeof(float);
}
Tensor chosen_of(const ReplacedRows& replaced, const Scratch& scratch, int64_t n_rows, DType dtype,
                 Device device) {
  Tensor chosen = make_tensor(scratch.data(), n_rows, replaced.rows.rows, dtype, device);
  chosen.stride = padded(chosen.cols);
  return chosen;
}

// The gradients that a chunk's dlogits give; what is in the place of replaced columns becomes 0.
void add_gradients(Context& ctx, const MlmLoss& args, const Tensor& d_logits, const Tensor& hidden,
                   const Tensor& d_hidden) {
  const Scratch chosen(*ctx.arena, chosen_bytes(args.replaced, hidden.rows));
  if (args.d_bias) column_sums(ctx, d_logits.col_range(0, args.d_bias.cols), args.d_bias);
  Tensor d_chosen;
  if (args.replaced.rows) {
    d_chosen = chosen_of(args.replaced, chosen, hidden.rows, ctx.compute, ctx.device);
    const ChosenColumns columns{.all = d_logits, .ids = args.replaced.ids, .chosen = d_chosen};
    QE_DISPATCH(ctx, take_columns, ctx, columns);
  }
  // Before d_hidden, which may be hidden's memory.
  const auto add_product = [&](const Tensor& d_columns, const Tensor& to) {
    gemm(ctx, {.a = d_columns,
               .b = hidden,
               .a_transposed = true,
               .b_transposed = false,
               .c = to,
               .mode = GradientMode::kAccumulate});
  };
  if (args.d_decoder) add_product(d_logits.col_range(0, args.d_decoder.rows), args.d_decoder);
  if (args.d_replaced) add_product(d_chosen, args.d_replaced);
  if (!d_hidden) return;
  gemm(ctx, {.a = d_logits, .b = args.decoder, .b_transposed = false, .c = d_hidden});
  if (!d_chosen) return;
  gemm(ctx, {.a = d_chosen,
             .b = args.replaced.rows,
             .b_transposed = false,
             .c = d_hidden,
             .mode = GradientMode::kAccumulate});
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
                const Tensor& logits, const ReplacedRows& replaced) {
  constexpr const char* kOp = "mlm_logits";
  check_head(ctx, kOp, hidden, decoder, bias);
  contract::check_matrix(ctx, kOp, "logits", logits, hidden.rows, logits.cols);
  QE_CHECK(logits.cols <= decoder.rows, kOp, ": expected logits of at most ", decoder.rows,
           " columns, got ", logits.cols);
  check_replaced(ctx, kOp, replaced, decoder.cols, logits.cols);
  gemm(ctx, {.a = hidden,
             .b = decoder.row_range(0, logits.cols),
             .b_transposed = true,
             .bias = bias ? bias.col_range(0, logits.cols) : bias,
             .c = logits});
  if (!replaced.rows) return;
  const Scratch scratch(*ctx.arena, chosen_bytes(replaced, hidden.rows));
  const Tensor chosen = chosen_of(replaced, scratch, hidden.rows, DType::kF32, ctx.device);
  gemm(ctx, {.a = hidden, .b = replaced.rows, .c = chosen});
  const ChosenColumns columns{.all = logits, .ids = replaced.ids, .chosen = chosen, .bias = bias};
  QE_DISPATCH(ctx, put_columns, ctx, columns);
}

void mlm_loss(Context& ctx, const MlmLoss& args) {
  check_loss(ctx, args);
  const int64_t n_rows = args.hidden.rows;
  const int64_t cols = args.decoder.rows;
  const int64_t stride = padded(cols);
  const int64_t chunk = std::min(n_rows, mlm_loss_chunk_rows(ctx.device, vocab_of(args)));
  if (n_rows == 0) return;
  const Scratch logits_scratch(*ctx.arena, static_cast<size_t>(chunk * stride) * sizeof(float));
  const Scratch losses(*ctx.arena, static_cast<size_t>(chunk) * sizeof(float));
  const Scratch correct(*ctx.arena, static_cast<size_t>(chunk) * sizeof(int32_t));
  for (int64_t begin = 0; begin < n_rows; begin += chunk) {
    const int64_t n = std::min(chunk, n_rows - begin);
    const Tensor hidden = args.hidden.row_range(begin, n);
    Tensor logits = make_tensor(logits_scratch.data(), n, cols, DType::kF32, ctx.device);
    logits.stride = stride;
    mlm_logits(ctx, hidden, args.decoder, args.bias, logits, args.replaced);
    const MlmLossRows rows{
        .logits = logits,
        .vocab_size = vocab_of(args),
        .labels = args.labels.subspan(static_cast<size_t>(begin), static_cast<size_t>(n)),
        .gradient = wants_gradient(args),
        .row_loss = args.row_loss ? args.row_loss.col_range(begin, n) : Tensor{},
        .totals = args.totals,
        .losses = losses.f32(),
        .correct = static_cast<int32_t*>(correct.data()),
        .label_smoothing = args.label_smoothing};
    QE_DISPATCH(ctx, mlm_loss_rows, ctx, rows);
    if (!rows.gradient) continue;
    Tensor d_logits = make_tensor(logits_scratch.data(), n, cols, ctx.compute, ctx.device);
    d_logits.stride = stride * static_cast<int64_t>(sizeof(float) / dtype_size(ctx.compute));
    add_gradients(ctx, args, d_logits, hidden,
                  args.d_hidden ? args.d_hidden.row_range(begin, n) : Tensor{});
  }
}

}  // namespace qe
