// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/linear.h"

#include "kernels/ops/lora.h"

namespace qe {
namespace {

constexpr size_t kMaxParts = 3;

// The LoRA pairs and saved t of up to kMaxParts Linears that read the same x.
struct Branches {
  const Linear* parts = nullptr;
  size_t n_parts = 0;
  const LoraPair* pairs[kMaxParts] = {};
  Var t[kMaxParts];
  Dropout dropout;
  bool any = false;
};

LoraSegment segment_of(const LoraPair& pair, int64_t n_rows) {
  return LoraSegment{0, n_rows, pair.computed_a, pair.computed_b, pair.scale};
}

Branches make_branches(const ForwardPass& pass, std::span<const Linear> parts,
                       const Dropout& dropout) {
  QE_CHECK(parts.size() <= kMaxParts, "linear: at most ", kMaxParts, " parts, got ", parts.size());
  Branches branches{.parts = parts.data(), .n_parts = parts.size(), .dropout = dropout};
  for (size_t i = 0; pass.adapter && i < parts.size(); ++i) {
    branches.pairs[i] = pass.adapter->pair(parts[i].id);
    branches.any = branches.any || branches.pairs[i];
  }
  return branches;
}

bool trainable(const ForwardPass& pass, const Branches& branches) {
  return branches.any && pass.adapter->trainable();
}

// y = base(x) + LoRA(x), part by part; y: (T, sum of N).
void forward_parts(Tape& tape, Branches& branches, const Tensor& x, int64_t row_capacity,
                   const Tensor& y, bool keep_t) {
  Context& ctx = tape.context();
  int64_t column = 0;
  for (size_t i = 0; i < branches.n_parts; ++i) {
    const Linear& part = branches.parts[i];
    const Tensor y_part = y.col_range(column, part.weight.n());
    part.weight.forward(ctx, x, part.bias, y_part);
    column += part.weight.n();
    if (const LoraPair* pair = branches.pairs[i]) {
      const LoraSegment segment = segment_of(*pair, x.rows);
      branches.t[i] = tape.make(x.rows, row_capacity, pair->r, false);
      lora_forward(ctx, LoraForward{.x = x,
                                    .dropout = branches.dropout,
                                    .segments = {&segment, 1},
                                    .t = tape.value(branches.t[i]),
                                    .y = y_part});
      if (keep_t) tape.save(branches.t[i]);
      tape.drop(branches.t[i]);
    }
  }
}

// LoRA gradients and, where dx is given, dx = [dx +] dy W + LoRA's share.
void backward_parts(Tape& tape, const Branches& branches, const Tensor& x, const Tensor& dy,
                    const GradientTarget& dx) {
  Context& ctx = tape.context();
  int64_t column = 0;
  GradientMode mode = dx.mode;
  for (size_t i = 0; i < branches.n_parts; ++i) {
    const Linear& part = branches.parts[i];
    const Tensor dy_part = dy.col_range(column, part.weight.n());
    column += part.weight.n();
    if (dx.tensor) {
      part.weight.backward(ctx, dy_part, dx.tensor, mode);
      mode = GradientMode::kAccumulate;
    }
    const LoraPair* pair = branches.pairs[i];
    if (!pair) continue;
    lora_backward(ctx, LoraBackward{.x = x,
                                    .dropout = branches.dropout,
                                    .segment = segment_of(*pair, x.rows),
                                    .t = tape.value(branches.t[i]),
                                    .dy = dy_part,
                                    .d_a = pair->d_a,
                                    .d_b = pair->d_b,
                                    .d_x = dx.tensor});
    tape.finish(branches.t[i]);
  }
}

void activate(Context& ctx, FfnActivation f, const Tensor& x, const Tensor& y) {
  f.gated ? gated_activation_forward(ctx, f.function, x, y)
          : activation_forward(ctx, f.function, x, y);
}

}  // namespace

Dropout ForwardPass::dropout(float p, RandomPurpose purpose, uint32_t layer, uint32_t site) const {
  if (!training || p == 0.0f) return Dropout{};
  return Dropout{.p = p,
                 .purpose = purpose,
                 .layer = layer,
                 .site = site,
                 .row_samples = gathered ? rows.samples : batch.row_samples,
                 .row_indices = gathered ? rows.indices : batch.row_indices};
}

Var linear(const ForwardPass& pass, std::span<const Linear> parts, Var x, uint32_t layer,
           LinearSite site) {
  Tape& tape = *pass.tape;
  const float p = pass.adapter ? pass.adapter->dropout() : 0.0f;
  Branches branches = make_branches(
      pass, parts,
      pass.dropout(p, RandomPurpose::kLoraDropout, layer, static_cast<uint32_t>(site)));
  const Tensor in = tape.value(x);
  int64_t n = 0;
  for (const Linear& part : parts) n += part.weight.n();
  const bool trains = tape.recording() && trainable(pass, branches);
  const bool needs_gradient = trains || tape.needs_gradient(x);
  const Var y = tape.make(in.rows, tape.row_capacity(x), n, needs_gradient);
  forward_parts(tape, branches, in, tape.row_capacity(x), tape.value(y),
                tape.needs_gradient(y) && branches.any);
  if (trains) tape.save(x);
  tape.record(y, [branches, x, y](Tape& t) {
    backward_parts(t, branches, t.value(x), t.gradient(y), t.target(x));
  });
  return y;
}

Var activation_linear(const ForwardPass& pass, FfnActivation f, const Linear& part, Var x,
                      uint32_t layer, LinearSite site) {
  Tape& tape = *pass.tape;
  const float p = pass.adapter ? pass.adapter->dropout() : 0.0f;
  Branches branches = make_branches(
      pass, {&part, 1},
      pass.dropout(p, RandomPurpose::kLoraDropout, layer, static_cast<uint32_t>(site)));
  const Tensor in = tape.value(x);
  const int64_t capacity = tape.row_capacity(x);
  const bool trains = tape.recording() && trainable(pass, branches);
  const Var y = tape.make(in.rows, capacity, part.weight.n(), trains || tape.needs_gradient(x));
  {
    const Var activated = tape.make(in.rows, capacity, part.weight.k(), false);
    activate(tape.context(), f, in, tape.value(activated));
    forward_parts(tape, branches, tape.value(activated), capacity, tape.value(y),
                  tape.needs_gradient(y) && branches.any);
    tape.drop(activated);
  }
  if (tape.needs_gradient(y)) tape.save(x);
  tape.record(y, [branches, f, x, y](Tape& t) {
    const Tensor u = t.value(x);
    Context& ctx = t.context();
    const GradientTarget du = t.target(x);
    const int64_t cols = branches.parts->weight.k();
    const size_t n_bytes = static_cast<size_t>(t.row_capacity(x) * cols) * dtype_size(u.dtype);
    const Scratch activated_memory(*ctx.arena, n_bytes);
    const Tensor activated = make_tensor(activated_memory.data(), u.rows, cols, u.dtype, u.device);
    if (branches.any) activate(ctx, f, u, activated);
    if (!f.gated) {
      backward_parts(t, branches, activated, t.gradient(y), du);
      if (du.tensor) activation_backward(ctx, f.function, u, du.tensor, du.tensor);
      return;
    }
    // Its gradient is half as wide as u's.
    const Scratch gradient_memory(*ctx.arena, du.tensor ? n_bytes : 0);
    GradientTarget d_activated;
    if (du.tensor) {
      d_activated.tensor = make_tensor(gradient_memory.data(), u.rows, cols, u.dtype, u.device);
    }
    backward_parts(t, branches, activated, t.gradient(y), d_activated);
    if (du.tensor) gated_activation_backward(ctx, f.function, u, d_activated.tensor, du.tensor);
  });
  return y;
}

}  // namespace qe
