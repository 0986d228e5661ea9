// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/attention.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/attention.h"
#include "kernels/cuda/attention.h"
#include "kernels/ops/contract.h"

namespace qe {
namespace {

constexpr int64_t kMaxRandomLength = 65536;  // 16 bits of row in the counter

void check_sequences(const Context& ctx, const char* op, const AttentionShape& shape,
                     int64_t n_tokens) {
  if (ctx.device.kind != DeviceKind::kCpu || ctx.planning) return;
  const std::span<const int32_t> starts = shape.cu_seqlens;
  QE_CHECK(starts[0] == 0, op, ": expected cu_seqlens[0] == 0, got ", starts[0]);
  for (size_t b = 1; b < starts.size(); ++b) {
    const int64_t length = int64_t{starts[b]} - starts[b - 1];
    QE_CHECK(length >= 0 && length <= shape.max_length, op, ": sequence ", b - 1, " has ", length,
             " tokens, expected 0 .. max_length = ", shape.max_length);
  }
  QE_CHECK(starts.back() == n_tokens, op, ": cu_seqlens ends at ", starts.back(),
           ", but there are ", n_tokens, " rows");
}

void check_terms(const Context& ctx, const char* op, const AttentionShape& shape,
                 const Tensor& query_terms, const Tensor& key_terms, int64_t n_tokens) {
  QE_CHECK(static_cast<bool>(shape.query_terms) == static_cast<bool>(shape.key_terms), op,
           ": query_terms and key_terms come together");
  if (!shape.query_terms) return;
  const int64_t cols = shape.n_heads * shape.n_distance_columns;
  contract::check_matrix(ctx, op, "query_terms", query_terms, n_tokens, cols);
  contract::check_matrix(ctx, op, "key_terms", key_terms, n_tokens, cols);
  QE_CHECK(shape.kv_heads() == shape.n_heads, op,
           ": terms by distance need as many heads of keys as of queries");
  const auto n = static_cast<int64_t>(shape.distance_columns.size());
  QE_CHECK(n % 2 == 1 && n >= 2 * shape.max_length - 1, op,
           ": expected an odd number of distance_columns, at least ", 2 * shape.max_length - 1,
           ", got ", n);
  if (ctx.device.kind != DeviceKind::kCpu || ctx.planning) return;
  for (const int32_t column : shape.distance_columns) {
    QE_CHECK(column >= 0 && column < shape.n_distance_columns, op, ": distance column ", column,
             " is outside of the ", shape.n_distance_columns, " there are");
  }
}

void check_shape(const Context& ctx, const char* op, const AttentionShape& shape, const Tensor& qkv,
                 const Tensor& out, const Tensor& lse) {
  QE_CHECK(shape.n_heads > 0 && shape.head_dim > 0, op,
           ": expected heads and head_dim above 0, got ", shape.n_heads, " and ", shape.head_dim);
  QE_CHECK(shape.max_length >= 0, op, ": max_length is ", shape.max_length);
  QE_CHECK(!shape.cu_seqlens.empty(), op, ": cu_seqlens is empty, expected B + 1 entries");
  QE_CHECK(shape.n_kv_heads >= 0 && shape.n_heads % shape.kv_heads() == 0, op, ": ",
           shape.n_kv_heads, " heads of keys and values do not divide ", shape.n_heads, " heads");
  QE_CHECK(shape.window >= 0, op, ": expected a window of 0 or more, got ", shape.window);
  const int64_t cols = shape.n_heads * shape.head_dim;
  const int64_t qkv_cols = (shape.n_heads + 2 * shape.kv_heads()) * shape.head_dim;
  contract::check_computed(ctx, op, "qkv", qkv, qkv.rows, qkv_cols);
  if (const Tensor& bias = shape.relative_bias; bias) {
    contract::check_matrix(ctx, op, "relative_bias", bias, shape.n_heads, bias.cols);
    QE_CHECK(bias.cols % 2 == 1 && bias.cols >= 2 * shape.max_length - 1, op,
             ": expected a relative_bias of an odd number of columns, at least ",
             2 * shape.max_length - 1, ", got ", bias.cols);
  }
  contract::check_computed(ctx, op, "out", out, qkv.rows, cols);
  contract::check_matrix(ctx, op, "lse", lse, qkv.rows, shape.n_heads);
  check_terms(ctx, op, shape, shape.query_terms, shape.key_terms, qkv.rows);
  check_sequences(ctx, op, shape, qkv.rows);
  QE_CHECK(shape.dropout_p >= 0.0f && shape.dropout_p < 1.0f, op,
           ": expected dropout p in [0, 1), got ", shape.dropout_p);
  if (shape.dropout_p == 0.0f) return;
  QE_CHECK(ctx.step != nullptr, op, ": dropout reads the seed from Context::step, which is null");
  contract::check_count(op, "sample_ids", shape.sample_ids.size(),
                        static_cast<int64_t>(shape.cu_seqlens.size()) - 1);
  QE_CHECK(shape.layer <= 0xffffu && shape.n_heads <= 0x10000, op, ": dropout layer ", shape.layer,
           " and heads ", shape.n_heads, " must fit 16 bits");
  QE_CHECK(shape.max_length <= kMaxRandomLength, op, ": dropout covers sequences of at most ",
           kMaxRandomLength, " tokens, got ", shape.max_length);
}

}  // namespace

size_t attention_workspace_bytes(const Context& ctx, const AttentionShape& shape, int64_t n_tokens,
                                 bool backward) {
  return QE_ON_DEVICE(ctx.device.kind, attention_workspace_bytes, ctx, shape, n_tokens, backward);
}

void attention_forward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                       const Tensor& out, const Tensor& lse) {
  check_shape(ctx, "attention_forward", shape, qkv, out, lse);
  contract::check_disjoint("attention_forward", "qkv", qkv, "out", out);
  const Scratch scratch(*ctx.arena, attention_workspace_bytes(ctx, shape, qkv.rows, false));
  QE_DISPATCH(ctx, attention_forward, ctx, shape, qkv, out, lse, scratch.data());
}

void attention_backward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                        const Tensor& out, const Tensor& lse, const Tensor& d_out,
                        const Tensor& d_qkv, const AttentionTermGradients& d_terms) {
  constexpr const char* kOp = "attention_backward";
  check_shape(ctx, kOp, shape, qkv, out, lse);
  contract::check_computed(ctx, kOp, "d_out", d_out, out.rows, out.cols);
  contract::check_computed(ctx, kOp, "d_qkv", d_qkv, qkv.rows, qkv.cols);
  check_terms(ctx, kOp, shape, d_terms.query_terms, d_terms.key_terms, qkv.rows);
  contract::check_disjoint(kOp, "d_qkv", d_qkv, "qkv", qkv);
  contract::check_disjoint(kOp, "d_qkv", d_qkv, "out", out);
  contract::check_disjoint(kOp, "d_qkv", d_qkv, "d_out", d_out);
  const Scratch scratch(*ctx.arena, attention_workspace_bytes(ctx, shape, qkv.rows, true));
  QE_DISPATCH(ctx, attention_backward, ctx, shape, qkv, out, lse, d_out, d_qkv, d_terms,
              scratch.data());
}

}  // namespace qe
