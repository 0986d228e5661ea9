// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/embedding.h"

#include <cstring>

#include "kernels/cpu/embedding_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

EmbeddingTable table_of(const Tensor& table, std::span<const int32_t> ids) {
  const TableType type = table.dtype == DType::kF16    ? TableType::kF16
                         : table.dtype == DType::kBF16 ? TableType::kBF16
                                                       : TableType::kF32;
  return {.data = table.data, .stride = table.stride, .type = type, .ids = ids.data()};
}

template <class T>
const T* data_or_null(std::span<const T> list) {
  return list.empty() ? nullptr : list.data();
}

}  // namespace

void embedding_forward(Context& ctx, const EmbeddingForward& args) {
  const EmbeddingRows rows{.tables = {table_of(args.word_table, args.token_ids),
                                      table_of(args.type_table, args.type_ids),
                                      table_of(args.position_table, args.position_ids)},
                           .word_scales = data_or_null(args.word_scales),
                           .slots = args.replaced.rows ? args.replaced.slots.data() : nullptr,
                           .replaced = args.replaced.rows ? args.replaced.rows.f32() : nullptr,
                           .replaced_stride = args.replaced.rows.stride,
                           .out = args.out.f32(),
                           .out_stride = args.out.stride,
                           .cols = args.out.cols};
  const auto kernel = QE_ISA_SELECT(embedding_rows);
  for_row_ranges(ctx, args.out.rows, rows.cols,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
}

void embedding_backward(Context& ctx, const EmbeddingBackward& args, void*) {
  const EmbeddingGradient gradient{.ids = args.ids.data(),
                                   .slots = data_or_null(args.slots),
                                   .scales = data_or_null(args.scales),
                                   .padding_id = args.padding_id,
                                   .d_out = args.d_out.f32(),
                                   .d_out_stride = args.d_out.stride,
                                   .rows = args.d_out.rows,
                                   .d_table = args.d_table.f32(),
                                   .d_table_stride = args.d_table.stride};
  const auto kernel = QE_ISA_SELECT(embedding_gradient);
  for_column_ranges(ctx, args.d_table.cols,
                    [&](int64_t begin, int64_t end) { kernel(gradient, begin, end); });
}

size_t embedding_backward_workspace_bytes(int64_t, int64_t) { return 0; }

void gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y) {
  const float* from = x.f32();
  float* to = y.f32();
  for_row_ranges(ctx, y.rows, y.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(to + i * y.stride, from + rows[static_cast<size_t>(i)] * x.stride,
                  static_cast<size_t>(y.cols) * sizeof(float));
    }
  });
}

void scatter_rows(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx,
                  GradientMode mode) {
  const float* from = dy.f32();
  float* to = dx.f32();
  if (mode == GradientMode::kOverwrite) {
    for_row_ranges(ctx, dx.rows, dx.cols, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) std::fill_n(to + t * dx.stride, dx.cols, 0.0f);
    });
  }
  for_row_ranges(ctx, dy.rows, dy.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* source = from + i * dy.stride;
      float* target = to + rows[static_cast<size_t>(i)] * dx.stride;
      for (int64_t c = 0; c < dy.cols; ++c) target[c] += source[c];
    }
  });
}

}  // namespace qe::cpu
