// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// LoRA is composed of other ops; a backend adds only the sum of two matrices, and that of the outer
// products of two matrices' rows: gradients, which sum over many rows into few elements.

#include "kernels/ops/lora.h"

#include <optional>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/lora.h"
#include "kernels/cuda/lora.h"
#include "kernels/ops/contract.h"
#include "kernels/ops/gemm.h"

namespace qe {
namespace {

void check_segment(const Context& ctx, const char* op, const LoraSegment& segment, int64_t n_rows,
                   int64_t k, int64_t n, int64_t max_rank) {
  QE_CHECK(
      segment.row_begin >= 0 && segment.row_begin <= segment.row_end && segment.row_end <= n_rows,
      op, ": segment of rows [", segment.row_begin, ", ", segment.row_end, ") in a batch of ",
      n_rows);
  const int64_t rank = segment.a.rows;
  QE_CHECK(rank <= max_rank, op, ": rank ", rank, " is larger than t's ", max_rank, " columns");
  contract::check_computed(ctx, op, "a", segment.a, rank, k);
  contract::check_computed(ctx, op, "b", segment.b, n, rank);
}

void check_segments_apart(std::span<const LoraSegment> segments) {
  for (size_t i = 0; i < segments.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const LoraSegment& one = segments[i];
      const LoraSegment& other = segments[j];
      QE_CHECK(one.row_begin >= other.row_end || other.row_begin >= one.row_end ||
                   one.row_begin == one.row_end || other.row_begin == other.row_end,
               "lora_forward: segments ", j, " and ", i, " overlap");
    }
  }
}

// A dense matrix in the arena that lives as long as this.
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

// d += left^T right.
void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right, const Tensor& d) {
  const size_t n_bytes = QE_ON_DEVICE(ctx.device.kind, add_outer_products_workspace_bytes, ctx,
                                      left.rows, left.cols, right.cols);
  const Scratch scratch(*ctx.arena, n_bytes);
  QE_DISPATCH(ctx, add_outer_products, ctx, left, right, d, scratch.f32());
}

Dropout rows_of(const Dropout& all, int64_t begin, int64_t n) {
  Dropout part = all;
  part.row_samples = all.row_samples.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
  part.row_indices = all.row_indices.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
  return part;
}

}  // namespace

void lora_forward(Context& ctx, const LoraForward& args) {
  constexpr const char* kOp = "lora_forward";
  const int64_t n_rows = args.x.rows;
  contract::check_computed(ctx, kOp, "x", args.x, n_rows, args.x.cols);
  contract::check_computed(ctx, kOp, "t", args.t, n_rows, args.t.cols);
  contract::check_computed(ctx, kOp, "y", args.y, n_rows, args.y.cols);
  contract::check_dropout(ctx, kOp, args.dropout, n_rows, args.x.cols);
  for (const LoraSegment& segment : args.segments) {
    check_segment(ctx, kOp, segment, n_rows, args.x.cols, args.y.cols, args.t.cols);
  }
  check_segments_apart(args.segments);
  std::optional<Temporary> dropped;
  if (args.dropout.p > 0.0f) {
    dropped.emplace(ctx, n_rows, args.x.cols);
    dropout(ctx, args.dropout, args.x, dropped->matrix());
  }
  const Tensor& x = dropped ? dropped->matrix() : args.x;
  for (const LoraSegment& segment : args.segments) {
    const int64_t begin = segment.row_begin;
    const int64_t n = segment.row_end - begin;
    const Tensor t = args.t.row_range(begin, n).col_range(0, segment.a.rows);
    gemm(ctx, {.a = x.row_range(begin, n), .b = segment.a, .alpha = segment.scale, .c = t});
    gemm(ctx, {.a = t,
               .b = segment.b,
               .c = args.y.row_range(begin, n),
               .mode = GradientMode::kAccumulate});
  }
}

void lora_backward(Context& ctx, const LoraBackward& args) {
  constexpr const char* kOp = "lora_backward";
  const LoraSegment& segment = args.segment;
  const int64_t k = args.x.cols;
  const int64_t rank = segment.a.rows;
  contract::check_computed(ctx, kOp, "x", args.x, args.x.rows, k);
  contract::check_computed(ctx, kOp, "t", args.t, args.x.rows, args.t.cols);
  contract::check_computed(ctx, kOp, "dy", args.dy, args.x.rows, args.dy.cols);
  contract::check_dropout(ctx, kOp, args.dropout, args.x.rows, k);
  check_segment(ctx, kOp, segment, args.x.rows, k, args.dy.cols, args.t.cols);
  if (args.d_a) contract::check_matrix(ctx, kOp, "d_a", args.d_a, rank, k);
  if (args.d_b) contract::check_matrix(ctx, kOp, "d_b", args.d_b, args.dy.cols, rank);
  if (args.d_x) contract::check_computed(ctx, kOp, "d_x", args.d_x, args.x.rows, k);

  const int64_t begin = segment.row_begin;
  const int64_t n = segment.row_end - begin;
  const Tensor x = args.x.row_range(begin, n);
  const Tensor dy = args.dy.row_range(begin, n);
  constexpr GradientMode kAdd = GradientMode::kAccumulate;
  if (args.d_b) {
    const Tensor t = args.t.row_range(begin, n).col_range(0, rank);
    add_outer_products(ctx, dy, t, args.d_b);
  }
  if (!args.d_a && !args.d_x) return;
  const Temporary u(ctx, n, rank);
  gemm(ctx,
       {.a = dy, .b = segment.b, .b_transposed = false, .alpha = segment.scale, .c = u.matrix()});
  if (args.dropout.p == 0.0f) {
    if (args.d_a) add_outer_products(ctx, u.matrix(), x, args.d_a);
    if (args.d_x) {
      const Tensor d_x = args.d_x.row_range(begin, n);
      gemm(ctx, {.a = u.matrix(), .b = segment.a, .b_transposed = false, .c = d_x, .mode = kAdd});
    }
    return;
  }
  const Dropout spec = rows_of(args.dropout, begin, n);
  const Temporary dropped(ctx, n, k);
  if (args.d_a) {
    dropout(ctx, spec, x, dropped.matrix());
    add_outer_products(ctx, u.matrix(), dropped.matrix(), args.d_a);
  }
  if (args.d_x) {
    gemm(ctx, {.a = u.matrix(), .b = segment.a, .b_transposed = false, .c = dropped.matrix()});
    dropout(ctx, spec, dropped.matrix(), dropped.matrix());
    QE_DISPATCH(ctx, add_matrix, ctx, dropped.matrix(), args.d_x.row_range(begin, n));
  }
}

}  // namespace qe
