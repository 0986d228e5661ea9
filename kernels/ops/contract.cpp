// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/contract.h"

#include <cstdint>

namespace qe::contract {
namespace {

constexpr int64_t kMaxRandomColumns = 4 * 65536;  // 16 bits of column quads in the counter

void check_layout(const Context& ctx, std::string_view op, std::string_view name, const Tensor& t,
                  int64_t rows, int64_t cols) {
  QE_CHECK(t.rows == rows && t.cols == cols, op, ": expected ", name, " of ", rows, " x ", cols,
           ", got ", t.rows, " x ", t.cols);
  QE_CHECK(t.stride >= t.cols, op, ": ", name, " has ", t.cols, " columns but a stride of ",
           t.stride);
  QE_CHECK(t.data != nullptr || t.size() == 0 || ctx.planning, op, ": ", name, " (", rows, " x ",
           cols, ") has no data");
  QE_CHECK(t.device == ctx.device, op, ": expected ", name, " on ", device_name(ctx.device),
           ", got one on ", device_name(t.device));
}

uintptr_t first_byte(const Tensor& t) { return reinterpret_cast<uintptr_t>(t.data); }
uintptr_t end_byte(const Tensor& t) {
  return first_byte(t) +
         static_cast<size_t>((t.rows - 1) * t.stride + t.cols) * dtype_size(t.dtype);
}

}  // namespace

void check_matrix(const Context& ctx, std::string_view op, std::string_view name, const Tensor& t,
                  int64_t rows, int64_t cols, DType dtype) {
  check_layout(ctx, op, name, t, rows, cols);
  QE_CHECK(t.dtype == dtype, op, ": expected ", name, " of ", dtype_name(dtype), ", got ",
           dtype_name(t.dtype));
}

void check_computed(const Context& ctx, std::string_view op, std::string_view name, const Tensor& t,
                    int64_t rows, int64_t cols) {
  check_matrix(ctx, op, name, t, rows, cols, ctx.compute);
}

void check_weight(const Context& ctx, std::string_view op, std::string_view name, const Tensor& t,
                  int64_t rows, int64_t cols) {
  check_layout(ctx, op, name, t, rows, cols);
  QE_CHECK(t.dtype == DType::kF32 || t.dtype == DType::kF16 || t.dtype == DType::kBF16, op,
           ": expected ", name, " of F32, F16 or BF16, got ", dtype_name(t.dtype));
}

void check_count(std::string_view op, std::string_view name, size_t found, int64_t expected) {
  QE_CHECK(static_cast<int64_t>(found) == expected, op, ": expected ", expected, " ", name,
           ", got ", found);
}

void check_dropout(const Context& ctx, std::string_view op, const Dropout& spec, int64_t rows,
                   int64_t cols) {
  QE_CHECK(spec.p >= 0.0f && spec.p < 1.0f, op, ": expected dropout p in [0, 1), got ", spec.p);
  if (spec.p == 0.0f) return;
  QE_CHECK(ctx.step != nullptr, op, ": dropout reads the seed from Context::step, which is null");
  QE_CHECK(spec.layer <= 0xffffu && spec.site <= 0xffffu, op, ": dropout layer ", spec.layer,
           " and site ", spec.site, " must be below 65536");
  QE_CHECK(cols <= kMaxRandomColumns, op, ": dropout covers at most ", kMaxRandomColumns,
           " columns, got ", cols);
  check_count(op, "dropout row_samples", spec.row_samples.size(), rows);
  check_count(op, "dropout row_indices", spec.row_indices.size(), rows);
}

bool overlap(const Tensor& a, const Tensor& b) {
  if (!a || !b || a.size() == 0 || b.size() == 0) return false;
  if (first_byte(a) >= end_byte(b) || first_byte(b) >= end_byte(a)) return false;
  if (a.dtype != b.dtype || a.stride != b.stride) return true;
  // Column ranges of one buffer interleave without sharing an element.
  const size_t element = dtype_size(a.dtype);
  const size_t row = static_cast<size_t>(a.stride) * element;
  const size_t ahead = (first_byte(b) % row + row - first_byte(a) % row) % row;
  return ahead < static_cast<size_t>(a.cols) * element ||
         ahead + static_cast<size_t>(b.cols) * element > row;
}

bool same_memory(const Tensor& a, const Tensor& b) {
  return a.data == b.data && a.dtype == b.dtype && (a.stride == b.stride || a.rows <= 1);
}

void check_in_place(std::string_view op, std::string_view name_a, const Tensor& a,
                    std::string_view name_b, const Tensor& b) {
  QE_CHECK(!overlap(a, b) || same_memory(a, b), op, ": ", name_a, " and ", name_b,
           " overlap without being the same memory");
}

void check_disjoint(std::string_view op, std::string_view name_a, const Tensor& a,
                    std::string_view name_b, const Tensor& b) {
  QE_CHECK(!overlap(a, b), op, ": ", name_a, " and ", name_b, " must not share memory");
}

}  // namespace qe::contract
