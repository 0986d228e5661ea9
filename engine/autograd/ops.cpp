// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/autograd/ops.h"

#include "kernels/ops/embedding.h"
#include "kernels/ops/layernorm.h"

namespace qe {
namespace {

// Both forms: `residual` may be absent.
Var norm_of_sum(Tape& tape, const Norm& norm, Var branch, Var residual, const Dropout& dropout) {
  const bool has_residual = residual.index >= 0;
  const Tensor x = tape.value(branch);
  const bool needs_gradient =
      tape.needs_gradient(branch) || (has_residual && tape.needs_gradient(residual));
  const Var y = tape.make(x.rows, tape.row_capacity(branch), x.cols, needs_gradient);
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
  if (!needs_gradient) {
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
                               .dy = t.gradient(y)};
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

Var residual_norm(Tape& tape, const Norm& norm, Var branch, Var residual, const Dropout& dropout) {
  return norm_of_sum(tape, norm, branch, residual, dropout);
}

Var norm(Tape& tape, const Norm& norm, Var x) {
  return norm_of_sum(tape, norm, x, Var{}, Dropout{});
}

Var branch_norm(Tape& tape, const Norm& norm, Var x) {
  const Tensor in = tape.value(x);
  const Var y = tape.make(in.rows, tape.row_capacity(x), in.cols, tape.needs_gradient(x));
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
                                     .d_residual_mode = dx.mode});
  });
  return y;
}

Var residual_add(Tape& tape, Var branch, Var residual, const Dropout& spec) {
  const Tensor in = tape.value(branch);
  const Var y = tape.make(in.rows, tape.row_capacity(branch), in.cols,
                          tape.needs_gradient(branch) || tape.needs_gradient(residual));
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

Var activation(Tape& tape, Activation f, Var x) {
  const Tensor in = tape.value(x);
  const Var y = tape.make(in.rows, tape.row_capacity(x), in.cols, tape.needs_gradient(x));
  activation_forward(tape.context(), f, in, tape.value(y));
  if (!tape.needs_gradient(y)) return y;
  tape.save(x);
  tape.record(y, [=](Tape& t) {
    const Tensor dy = t.gradient(y);
    activation_backward(t.context(), f, t.value(x), dy, t.inherit_gradient(x, y));
  });
  return y;
}

Var attention(Tape& tape, const AttentionShape& shape, const Rope& rotary, Var qkv) {
  const Tensor in = tape.value(qkv);
  const int64_t capacity = tape.row_capacity(qkv);
  const bool needs_gradient = tape.needs_gradient(qkv);
  const Var out = tape.make(in.rows, capacity, shape.n_heads * shape.head_dim, needs_gradient);
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

Var gather(Tape& tape, Var x, std::span<const int32_t> rows, int64_t row_capacity) {
  const Tensor in = tape.value(x);
  const Var y =
      tape.make(static_cast<int64_t>(rows.size()), row_capacity, in.cols, tape.needs_gradient(x));
  gather_rows(tape.context(), in, rows, tape.value(y));
  tape.record(y, [=](Tape& t) {
    const GradientTarget dx = t.target(x);
    scatter_rows(t.context(), t.gradient(y), rows, dx.tensor, dx.mode);
  });
  return y;
}

}  // namespace qe
