// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/autograd/ops.h"

#include "kernels/ops/convolution.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/layernorm.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

// Both forms: `residual` may be absent.
Var norm_of_sum(Tape& tape, const Norm& norm, Var branch, Var residual, const Dropout& dropout,
                int64_t room) {
  const bool has_residual = residual.index >= 0;
  const Tensor x = tape.value(branch);
  const bool wanted = norm.trains() || tape.needs_gradient(branch) ||
                      (has_residual && tape.needs_gradient(residual));
  // branch inherits y's gradient.
  const Var y = tape.make(x.rows, tape.row_capacity(branch), x.cols, wanted,
                          {.value = room, .gradient = tape.room(branch).gradient});
  const Var sum = tape.take_value(branch);
  LayerNormForward forward{.x = x,
                           .dropout = dropout,
                           .gamma = norm.gamma,
                           .beta = norm.beta,
                           .epsilon = norm.epsilon,
                           .rms = norm.rms,
                           .sum = x,
                           .y = tape.value(y)};
  if (has_residual) forward.residual = tape.value(residual);
  layernorm_forward(tape.context(), forward);
  if (!tape.needs_gradient(y)) {
    tape.drop(sum);
    return y;
  }
  tape.save(sum);
  tape.record(y, [=](Tape& t) {
    LayerNormBackward backward{.sum = t.value(sum),
                               .gamma = norm.gamma,
                               .epsilon = norm.epsilon,
                               .rms = norm.rms,
                               .dropout = dropout,
                               .dy = t.gradient(y),
                               .d_gamma = norm.d_gamma,
                               .d_beta = norm.d_beta};
    if (has_residual) {
      const GradientTarget d_residual = t.target(residual);
      backward.d_residual = d_residual.tensor;
      backward.d_residual_mode = d_residual.mode;
    }
    if (t.needs_gradient(branch)) backward.d_x = t.inherit_gradient(branch, y);
    layernorm_backward(t.context(), backward);
    t.finish(sum);
  });
  return y;
}

}  // namespace

Var residual_norm(Tape& tape, const Norm& norm, Var branch, Var residual, const Dropout& dropout,
                  int64_t room) {
  return norm_of_sum(tape, norm, branch, residual, dropout, room);
}

Var norm(Tape& tape, const Norm& norm, Var x, int64_t room) {
  return norm_of_sum(tape, norm, x, Var{}, Dropout{}, room);
}

Var branch_norm(Tape& tape, const Norm& norm, Var x, int64_t room) {
  const Tensor in = tape.value(x);
  const Var y = tape.make(in.rows, tape.row_capacity(x), in.cols,
                          norm.trains() || tape.needs_gradient(x), {.value = room});
  layernorm_forward(tape.context(), {.x = in,
                                     .gamma = norm.gamma,
                                     .beta = norm.beta,
                                     .epsilon = norm.epsilon,
                                     .rms = norm.rms,
                                     .sum = in,
                                     .y = tape.value(y)});
  if (!tape.needs_gradient(y)) return y;
  tape.save(x);
  tape.record(y, [=](Tape& t) {
    const GradientTarget dx = t.target(x);
    layernorm_backward(t.context(), {.sum = t.value(x),
                                     .gamma = norm.gamma,
                                     .epsilon = norm.epsilon,
                                     .rms = norm.rms,
                                     .dy = t.gradient(y),
                                     .d_residual = dx.tensor,
                                     .d_residual_mode = dx.mode,
                                     .d_gamma = norm.d_gamma,
                                     .d_beta = norm.d_beta});
  });
  return y;
}

Var residual_add(Tape& tape, Var branch, Var residual, const Dropout& spec) {
  const Tensor in = tape.value(branch);
  const Var y = tape.make(in.rows, tape.row_capacity(branch), in.cols,
                          tape.needs_gradient(branch) || tape.needs_gradient(residual),
                          {.gradient = tape.room(branch).gradient});
  dropout(tape.context(), spec, in, tape.value(y), tape.value(residual));
  tape.drop(branch);
  tape.record(y, [=](Tape& t) {
    const Tensor dy = t.gradient(y);
    if (const GradientTarget d_residual = t.target(residual); d_residual.tensor) {
      const bool add = d_residual.mode == GradientMode::kAccumulate;
      dropout(t.context(), {}, dy, d_residual.tensor, add ? d_residual.tensor : Tensor{});
    }
    if (t.needs_gradient(branch)) dropout(t.context(), spec, dy, t.inherit_gradient(branch, y));
  });
  return y;
}

Var dropped(Tape& tape, const Dropout& spec, Var x, int64_t room) {
  if (spec.p == 0.0f) return x;
  const Tensor in = tape.value(x);
  if (!tape.needs_gradient(x)) {
    dropout(tape.context(), spec, in, in);
    return x;
  }
  const Var y = tape.make(in.rows, tape.row_capacity(x), in.cols, true,
                          {.value = room, .gradient = tape.room(x).gradient});
  dropout(tape.context(), spec, in, tape.value(y));
  tape.drop(x);
  tape.record(y, [=](Tape& t) {
    const Tensor dy = t.gradient(y);
    dropout(t.context(), spec, dy, t.inherit_gradient(x, y));
  });
  return y;
}

Var activation(Tape& tape, Activation f, Var x) {
  const Tensor in = tape.value(x);
  const Var y = tape.make(in.rows, tape.row_capacity(x), in.cols, tape.needs_gradient(x),
                          {.gradient = tape.room(x).gradient});
  activation_forward(tape.context(), f, in, tape.value(y));
  if (!tape.needs_gradient(y)) return y;
  tape.save(x);
  tape.record(y, [=](Tape& t) {
    const Tensor dy = t.gradient(y);
    activation_backward(t.context(), f, t.value(x), dy, t.inherit_gradient(x, y));
  });
  return y;
}

Var attention(Tape& tape, const AttentionShape& shape, const Rope& rotary, Var qkv, int64_t room) {
  const Tensor in = tape.value(qkv);
  const int64_t capacity = tape.row_capacity(qkv);
  const bool needs_gradient = tape.needs_gradient(qkv);
  const Var out =
      tape.make(in.rows, capacity, shape.n_heads * shape.head_dim, needs_gradient, {.value = room});
  const Var lse = tape.make_statistics(in.rows, capacity, shape.n_heads);
  if (rotary.table) rope(tape.context(), rotary, in, false);
  attention_forward(tape.context(), shape, in, tape.value(out), tape.value(lse));
  if (!needs_gradient) {
    tape.drop(lse);
    return out;
  }
  tape.save(qkv);
  tape.save(out);
  tape.save(lse);
  tape.record(out, [=](Tape& t) {
    const Tensor d_qkv = t.target(qkv).tensor;
    attention_backward(t.context(), shape, t.value(qkv), t.value(out), t.value(lse),
                       t.gradient(out), d_qkv);
    if (rotary.table) rope(t.context(), rotary, d_qkv, true);
    t.finish(lse);
  });
  return out;
}

namespace {

// Scratch of the backward and forward of disentangled attention.
struct Terms {
  Scratch memory;
  Tensor of_queries, of_keys;

  Terms(Context& ctx, const AttentionShape& shape, int64_t rows, int64_t capacity, DType dtype)
      : memory(*ctx.arena, static_cast<size_t>(2 * capacity * cols(shape)) * dtype_size(dtype)) {
    const auto half = static_cast<size_t>(capacity * cols(shape)) * dtype_size(dtype);
    of_queries = make_tensor(memory.data(), rows, cols(shape), dtype, ctx.device);
    void* second = memory.data() ? static_cast<char*>(memory.data()) + half : nullptr;
    of_keys = make_tensor(second, rows, cols(shape), dtype, ctx.device);
  }
  static int64_t cols(const AttentionShape& shape) {
    return shape.n_heads * shape.n_distance_columns;
  }
};

// Calls body(head columns of the terms, of q, of k, of positions' queries, of its keys).
template <class Body>
void for_heads(const AttentionShape& shape, const Body& body) {
  const int64_t width = shape.n_heads * shape.head_dim;
  for (int64_t h = 0; h < shape.n_heads; ++h) {
    const int64_t at = h * shape.head_dim;
    body(h * shape.n_distance_columns, at, width + at);
  }
}

void make_terms(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                const Tensor& positions, const Terms& terms) {
  const int64_t n = shape.n_distance_columns;
  const int64_t dim = shape.head_dim;
  for_heads(shape, [&](int64_t column, int64_t q, int64_t k) {
    gemm(ctx, {.a = qkv.col_range(q, dim),
               .b = positions.col_range(k, dim),
               .alpha = shape.scale,
               .c = terms.of_queries.col_range(column, n)});
    gemm(ctx, {.a = qkv.col_range(k, dim),
               .b = positions.col_range(q, dim),
               .alpha = shape.scale,
               .c = terms.of_keys.col_range(column, n)});
  });
}

// Adds the gradients of the terms to d_qkv, and to d_positions where it is wanted.
void terms_backward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                    const Tensor& positions, const Terms& d_terms, const Tensor& d_qkv,
                    const GradientTarget& d_positions) {
  const int64_t n = shape.n_distance_columns;
  const int64_t dim = shape.head_dim;
  const auto one = [&](const Tensor& d, int64_t content, int64_t position) {
    gemm(ctx, {.a = d,
               .b = positions.col_range(position, dim),
               .b_transposed = false,
               .alpha = shape.scale,
               .c = d_qkv.col_range(content, dim),
               .mode = GradientMode::kAccumulate});
    if (!d_positions.tensor) return;
    gemm(ctx, {.a = d,
               .b = qkv.col_range(content, dim),
               .a_transposed = true,
               .b_transposed = false,
               .alpha = shape.scale,
               .c = d_positions.tensor.col_range(position, dim),
               .mode = d_positions.mode});
  };
  for_heads(shape, [&](int64_t column, int64_t q, int64_t k) {
    one(d_terms.of_queries.col_range(column, n), q, k);
    one(d_terms.of_keys.col_range(column, n), k, q);
  });
}

}  // namespace

Var disentangled_attention(Tape& tape, const AttentionShape& plain, Var qkv, Var positions) {
  const Tensor in = tape.value(qkv);
  const int64_t capacity = tape.row_capacity(qkv);
  const bool needs_gradient = tape.needs_gradient(qkv) || tape.needs_gradient(positions);
  const Var out = tape.make(in.rows, capacity, plain.n_heads * plain.head_dim, needs_gradient);
  const Var lse = tape.make_statistics(in.rows, capacity, plain.n_heads);
  const auto with_terms = [plain](const Terms& terms) {
    AttentionShape shape = plain;
    shape.query_terms = terms.of_queries;
    shape.key_terms = terms.of_keys;
    return shape;
  };
  {
    Context& ctx = tape.context();
    const Terms terms(ctx, plain, in.rows, capacity, DType::kF32);
    make_terms(ctx, plain, in, tape.value(positions), terms);
    attention_forward(ctx, with_terms(terms), in, tape.value(out), tape.value(lse));
  }
  if (!needs_gradient) {
    tape.drop(lse);
    return out;
  }
  for (const Var saved : {qkv, positions, out, lse}) tape.save(saved);
  tape.record(out, [=](Tape& t) {
    Context& ctx = t.context();
    const Tensor x = t.value(qkv);
    const Terms terms(ctx, plain, x.rows, t.row_capacity(qkv), DType::kF32);
    const Terms d_terms(ctx, plain, x.rows, t.row_capacity(qkv), DType::kF32);
    make_terms(ctx, plain, x, t.value(positions), terms);
    // Adapters may be on the projections of distances only.
    Tensor d_qkv = t.target(qkv).tensor;
    const size_t n_bytes = static_cast<size_t>(t.row_capacity(qkv) * x.cols) * dtype_size(x.dtype);
    const Scratch unwanted(*ctx.arena, d_qkv ? 0 : n_bytes);
    if (!d_qkv) d_qkv = make_tensor(unwanted.data(), x.rows, x.cols, x.dtype, x.device);
    attention_backward(ctx, with_terms(terms), x, t.value(out), t.value(lse), t.gradient(out),
                       d_qkv, {d_terms.of_queries, d_terms.of_keys});
    const GradientTarget d_positions = t.target(positions);
    if (ctx.compute == DType::kF32) {
      terms_backward(ctx, plain, x, t.value(positions), d_terms, d_qkv, d_positions);
    } else {
      const Terms rounded(ctx, plain, x.rows, t.row_capacity(qkv), ctx.compute);
      cast(ctx, d_terms.of_queries, rounded.of_queries);
      cast(ctx, d_terms.of_keys, rounded.of_keys);
      terms_backward(ctx, plain, x, t.value(positions), rounded, d_qkv, d_positions);
    }
    t.finish(lse);
  });
  return out;
}

Var convolution(Tape& tape, const Convolution& convolution, std::span<const uint32_t> row_indices,
                const Dropout& spec, Var x) {
  const Tensor in = tape.value(x);
  const int64_t capacity = tape.row_capacity(x);
  const Var y = tape.make(in.rows, capacity, in.cols, tape.needs_gradient(x));
  const int64_t group_cols = in.cols / convolution.groups;
  // Calls body(windows of one group, its weight, the columns where the group begins).
  const auto for_groups = [=](Context& ctx, const auto& body) {
    const int64_t cols = convolution.weight.cols;
    const Scratch memory(*ctx.arena, static_cast<size_t>(capacity * cols) * dtype_size(in.dtype));
    const Tensor windows = make_tensor(memory.data(), in.rows, cols, in.dtype, in.device);
    for (int64_t begin = 0; begin < in.cols; begin += group_cols) {
      body(windows, convolution.weight.row_range(begin, group_cols), begin);
    }
  };
  for_groups(tape.context(), [&](const Tensor& windows, const Tensor& weight, int64_t begin) {
    gather_windows(tape.context(), row_indices, in.col_range(begin, group_cols), windows);
    gemm(tape.context(), {.a = windows,
                          .b = weight,
                          .bias = convolution.bias.col_range(begin, group_cols),
                          .c = tape.value(y).col_range(begin, group_cols)});
  });
  if (spec.p > 0.0f) dropout(tape.context(), spec, tape.value(y), tape.value(y));
  tape.record(y, [=](Tape& t) {
    const Tensor dy = t.gradient(y);
    const GradientTarget dx = t.target(x);
    if (spec.p > 0.0f) dropout(t.context(), spec, dy, dy);
    for_groups(t.context(), [&](const Tensor& windows, const Tensor& weight, int64_t begin) {
      gemm(
          t.context(),
          {.a = dy.col_range(begin, group_cols), .b = weight, .b_transposed = false, .c = windows});
      scatter_windows(t.context(), row_indices, windows, dx.tensor.col_range(begin, group_cols),
                      dx.mode);
    });
  });
  return y;
}

Var gather(Tape& tape, Var x, std::span<const int32_t> rows, int64_t row_capacity, int64_t room) {
  const Tensor in = tape.value(x);
  const Var y = tape.make(static_cast<int64_t>(rows.size()), row_capacity, in.cols,
                          tape.needs_gradient(x), {.value = room});
  gather_rows(tape.context(), in, rows, tape.value(y));
  tape.record(y, [=](Tape& t) {
    const GradientTarget dx = t.target(x);
    scatter_rows(t.context(), t.gradient(y), rows, dx.tensor, dx.mode);
  });
  return y;
}

}  // namespace qe
