// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/embedding.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/embedding.h"
#include "kernels/cuda/embedding.h"
#include "kernels/ops/contract.h"

namespace qe {
namespace {

// Values can be read here on the CPU only, and not while planning.
bool values_readable(const Context& ctx) {
  return ctx.device.kind == DeviceKind::kCpu && !ctx.planning;
}

void check_ids(const Context& ctx, const char* op, const char* name, std::span<const int32_t> ids,
               int64_t limit) {
  if (!values_readable(ctx)) return;
  for (size_t i = 0; i < ids.size(); ++i) {
    QE_CHECK(ids[i] >= 0 && ids[i] < limit, op, ": ", name, "[", i, "] is ", ids[i],
             ", expected 0 .. ", limit - 1);
  }
}

// Slots, where a table has them.
void check_slots(const Context& ctx, const char* op, std::span<const int32_t> slots, int64_t n) {
  if (!values_readable(ctx)) return;
  for (size_t i = 0; i < slots.size(); ++i) {
    QE_CHECK(slots[i] >= -1 && slots[i] < n, op, ": slots[", i, "] is ", slots[i],
             ", expected -1 .. ", n - 1);
  }
}

void check_table(const Context& ctx, const char* name, const char* ids_name, const Tensor& table,
                 std::span<const int32_t> ids, const Tensor& out) {
  contract::check_weight(ctx, "embedding_forward", name, table, table.rows, out.cols);
  contract::check_count("embedding_forward", ids_name, ids.size(), out.rows);
  check_ids(ctx, "embedding_forward", ids_name, ids, table.rows);
}

}  // namespace

void embedding_forward(Context& ctx, const EmbeddingForward& args) {
  contract::check_computed(ctx, "embedding_forward", "out", args.out, args.out.rows, args.out.cols);
  check_table(ctx, "word_table", "token_ids", args.word_table, args.token_ids, args.out);
  if (!args.word_scales.empty()) {
    contract::check_count("embedding_forward", "word_scales", args.word_scales.size(),
                          args.out.rows);
  }
  if (const Tensor& rows = args.replaced.rows) {
    contract::check_computed(ctx, "embedding_forward", "replaced rows", rows, rows.rows,
                             args.out.cols);
    contract::check_count("embedding_forward", "slots", args.replaced.slots.size(),
                          args.word_table.rows);
    check_slots(ctx, "embedding_forward", args.replaced.slots, rows.rows);
  }
  if (args.type_table) {
    check_table(ctx, "type_table", "type_ids", args.type_table, args.type_ids, args.out);
  }
  if (args.position_table) {
    check_table(ctx, "position_table", "position_ids", args.position_table, args.position_ids,
                args.out);
  }
  QE_DISPATCH(ctx, embedding_forward, ctx, args);
}

void embedding_backward(Context& ctx, const EmbeddingBackward& args) {
  constexpr const char* kOp = "embedding_backward";
  const int64_t n_rows = args.d_table.rows;
  contract::check_computed(ctx, kOp, "d_out", args.d_out, args.d_out.rows, args.d_table.cols);
  contract::check_matrix(ctx, kOp, "d_table", args.d_table, n_rows, args.d_table.cols);
  contract::check_disjoint(kOp, "d_out", args.d_out, "d_table", args.d_table);
  contract::check_count(kOp, "ids", args.ids.size(), args.d_out.rows);
  if (!args.scales.empty()) {
    contract::check_count(kOp, "scales", args.scales.size(), args.d_out.rows);
  }
  const bool all = args.slots.empty();
  check_ids(ctx, kOp, "ids", args.ids, all ? n_rows : static_cast<int64_t>(args.slots.size()));
  check_slots(ctx, kOp, args.slots, n_rows);
  const Scratch scratch(
      *ctx.arena, QE_ON_DEVICE(ctx.device.kind, embedding_backward_workspace_bytes, args.d_out.rows,
                               args.d_out.cols));
  QE_DISPATCH(ctx, embedding_backward, ctx, args, scratch.data());
}

void gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y) {
  contract::check_computed(ctx, "gather_rows", "x", x, x.rows, x.cols);
  contract::check_computed(ctx, "gather_rows", "y", y, static_cast<int64_t>(rows.size()), x.cols);
  contract::check_disjoint("gather_rows", "x", x, "y", y);
  check_ids(ctx, "gather_rows", "rows", rows, x.rows);
  QE_DISPATCH(ctx, gather_rows, ctx, x, rows, y);
}

void scatter_rows(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx,
                  GradientMode mode) {
  contract::check_computed(ctx, "scatter_rows", "dx", dx, dx.rows, dx.cols);
  contract::check_computed(ctx, "scatter_rows", "dy", dy, static_cast<int64_t>(rows.size()),
                           dx.cols);
  contract::check_disjoint("scatter_rows", "dy", dy, "dx", dx);
  check_ids(ctx, "scatter_rows", "rows", rows, dx.rows);
  QE_DISPATCH(ctx, scatter_rows, ctx, dy, rows, dx, mode);
}

}  // namespace qe
