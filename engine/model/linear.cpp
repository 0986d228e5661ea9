// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/linear.h"

#include <algorithm>

#include "kernels/ops/column_sums.h"
#include "kernels/ops/dora.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

// Linears that read the same x, with their LoRA pairs and what backward needs of them.
struct Branches {
  const Linear* linears = nullptr;
  size_t count = 0;
  const LoraPair* pairs[kMaxLoraParts] = {};
  const FullTensor* weights[kMaxLoraParts] = {};  // instead of the Linears'
  const FullTensor* biases[kMaxLoraParts] = {};
  int64_t n = 0, ranks = 0;  // sums
  Dropout dropout;
  Tensor t;   // of lora_forward: behind x in its memory,
  Var own_t;  // or this Var's
  std::span<const AdapterRows> mixed;
  bool gathered = false;
  bool has_magnitudes = false;
  bool has_weights = false, has_biases = false;  // in full
  Var z;                                         // of dora_forward, where it is not y's memory

  bool any() const { return ranks > 0; }
  // Whether gradients of parameters need what the Linears read.
  bool needs_input() const { return any() || has_weights; }
  bool has_parameters() const { return needs_input() || has_biases; }
};

// The same as the ops take them.
struct LoraLinears {
  LoraSegment segments[kMaxLoraParts][kMaxMixedAdapters];
  LoraLinear parts[kMaxLoraParts];
  DoraScale scales[kMaxLoraParts];
  size_t count;

  LoraLinears(const Branches& branches, int64_t n_rows) : count(branches.count) {
    for (size_t i = 0; i < count; ++i) {
      const Linear& linear = branches.linears[i];
      LoraLinear& part = parts[i];
      if (branches.weights[i]) {
        part.dense = branches.weights[i]->computed;
      } else if (linear.weight.is_quantized()) {
        part.quantized = &linear.weight.quantized();
      } else {
        part.dense = linear.weight.dense();
      }
      part.bias = branches.biases[i] ? branches.biases[i]->computed : linear.bias;
      if (!branches.mixed.empty()) part.segments = mixed_segments(branches, i);
      const LoraPair* pair = branches.pairs[i];
      if (!pair) continue;
      segments[i][0] = {0, n_rows, pair->computed_a, pair->computed_b, pair->scale};
      part.segments = {segments[i], 1};
      part.d_a = pair->d_a;
      part.d_b = pair->d_b;
      scales[i] = {pair->magnitude, pair->norms, pair->d_magnitude};
    }
  }
  std::span<const LoraSegment> mixed_segments(const Branches& branches, size_t part) {
    size_t n = 0;
    for (const AdapterRows& rows : branches.mixed) {
      const LoraPair* pair = rows.adapter ? rows.adapter->pair(branches.linears[part].id) : nullptr;
      const int64_t begin = branches.gathered ? rows.label_begin : rows.begin;
      const int64_t end = branches.gathered ? rows.label_end : rows.end;
      if (!pair || begin == end) continue;
      segments[part][n++] = {begin, end, pair->computed_a, pair->computed_b, pair->scale};
    }
    return {segments[part], n};
  }
  std::span<const LoraLinear> span() const { return {parts, count}; }
  std::span<const DoraScale> magnitudes() const { return {scales, count}; }
};

Branches make_branches(const ForwardPass& pass, std::span<const Linear> linears, uint32_t layer,
                       LinearSite site) {
  QE_CHECK(linears.size() <= kMaxLoraParts, "linear: at most ", kMaxLoraParts, " parts, got ",
           linears.size());
  const float p = pass.adapter ? pass.adapter->dropout() : 0.0f;
  Branches branches{
      .linears = linears.data(),
      .count = linears.size(),
      .dropout = pass.dropout(p, RandomPurpose::kLoraDropout, layer, static_cast<uint32_t>(site))};
  branches.mixed = pass.mixed;
  branches.gathered = pass.gathered;
  QE_CHECK(pass.mixed.size() <= kMaxMixedAdapters, "linear: at most ", kMaxMixedAdapters,
           " adapters side by side, got ", pass.mixed.size());
  for (size_t i = 0; i < linears.size(); ++i) {
    branches.n += linears[i].weight.n();
    int64_t largest = 0;
    for (const AdapterRows& rows : pass.mixed) {
      const LoraPair* pair = rows.adapter ? rows.adapter->pair(linears[i].id) : nullptr;
      if (pair) largest = std::max(largest, pair->r);
    }
    branches.ranks += largest;
    branches.pairs[i] = pass.adapter ? pass.adapter->pair(linears[i].id) : nullptr;
    branches.weights[i] = pass.full(linears[i].weight_id);
    branches.biases[i] = pass.full(linears[i].bias_id);
    branches.has_weights = branches.has_weights || branches.weights[i];
    branches.has_biases = branches.has_biases || branches.biases[i];
    if (!branches.pairs[i]) continue;
    branches.ranks += branches.pairs[i]->r;
    branches.has_magnitudes = static_cast<bool>(branches.pairs[i]->magnitude);
  }
  return branches;
}

bool trainable(const ForwardPass& pass, const Branches& branches) {
  return pass.tape->recording() && branches.has_parameters() && pass.adapter->trainable();
}

// The outputs side by side. x's gradient is wanted by them where it is by anybody.
Var make_output(const ForwardPass& pass, const Branches& branches, Var x) {
  Tape& tape = *pass.tape;
  const bool trains = trainable(pass, branches);
  return tape.make(tape.value(x).rows, tape.row_capacity(x), branches.n,
                   trains || tape.needs_gradient(x),
                   {.gradient = trains ? lora_room(tape.context(), branches.ranks) : 0});
}

// The same with magnitudes. z may be y's memory where nobody reads it again.
void forward_magnitudes(Tape& tape, Branches& branches, bool trains, Var x, Var y) {
  const Tensor in = tape.value(x);
  const bool apart = trains || branches.dropout.p > 0.0f;
  if (apart) branches.z = tape.make(in.rows, tape.row_capacity(x), branches.n, false);
  const LoraLinears linears(branches, in.rows);
  dora_forward(tape.context(), {.x = in,
                                .dropout = branches.dropout,
                                .parts = linears.span(),
                                .scales = linears.magnitudes(),
                                .t = branches.t,
                                .z = tape.value(apart ? branches.z : y),
                                .y = tape.value(y)});
}

// y = base(x) + LoRA(x). Takes the room behind x.
void forward_parts(Tape& tape, Branches& branches, bool trains, Var x, Var y) {
  const Tensor in = tape.value(x);
  if (branches.any()) {
    branches.t = tape.take_room(x, branches.ranks);
    if (!branches.t) {
      branches.own_t = tape.make(in.rows, tape.row_capacity(x), branches.ranks, false);
      branches.t = tape.value(branches.own_t);
    }
  }
  if (branches.has_magnitudes) return forward_magnitudes(tape, branches, trains, x, y);
  lora_forward(tape.context(), {.x = in,
                                .dropout = branches.dropout,
                                .parts = LoraLinears(branches, in.rows).span(),
                                .t = branches.t,
                                .y = tape.value(y)});
}

// Keeps t and z for backward, or frees them. In the order in which the arena gave them, reversed.
void keep_products(Tape& tape, const Branches& branches, bool keep) {
  for (const Var made : {branches.z, branches.own_t}) {
    if (made.index < 0) continue;
    if (keep) tape.save(made);
    tape.drop(made);
  }
}

// The same with magnitudes. Overwrites y's gradient.
void backward_magnitudes(Tape& tape, const Branches& branches, const Tensor& x, Var y,
                         const GradientTarget& dx) {
  const Tensor dy = tape.gradient(y);
  const LoraLinears linears(branches, dy.rows);
  dora_backward(tape.context(), {.x = x,
                                 .dropout = branches.dropout,
                                 .parts = linears.span(),
                                 .scales = linears.magnitudes(),
                                 .t = branches.t,
                                 .z = tape.value(branches.z),
                                 .dy = dy,
                                 .u = tape.gradient_room(y, branches.ranks),
                                 .d_x = dx.tensor,
                                 .d_x_mode = dx.mode});
  tape.finish(branches.z);
  if (branches.own_t.index >= 0) tape.finish(branches.own_t);
}

// Gradients of weights and biases that the adapter has in full. x: what the Linears read.
void full_gradients(Context& ctx, const Branches& branches, const Tensor& x, const Tensor& dy) {
  int64_t column = 0;
  for (size_t i = 0; i < branches.count; ++i) {
    const int64_t n = branches.linears[i].weight.n();
    const Tensor of_part = dy.col_range(column, n);
    if (const FullTensor* const weight = branches.weights[i]) {
      gemm(ctx, {.a = of_part,
                 .b = x,
                 .a_transposed = true,
                 .b_transposed = false,
                 .c = weight->gradient,
                 .mode = GradientMode::kAccumulate});
    }
    if (const FullTensor* const bias = branches.biases[i]) {
      column_sums(ctx, of_part, bias->gradient);
    }
    column += n;
  }
}

// Gradients of all parameters and, where dx is given, that of what the Linears read: x, or
// activation(x).
void backward_parts(Tape& tape, const Branches& branches, bool trains, const Tensor& x,
                    std::optional<Activation> activation, Var y, const GradientTarget& dx) {
  const Tensor dy = tape.gradient(y);
  if (trains) full_gradients(tape.context(), branches, x, dy);
  if (branches.has_magnitudes) return backward_magnitudes(tape, branches, x, y, dx);
  lora_backward(tape.context(), {.x = x,
                                 .activation = activation,
                                 .dropout = branches.dropout,
                                 .parts = LoraLinears(branches, dy.rows).span(),
                                 .t = branches.t,
                                 .dy = dy,
                                 .u = tape.gradient_room(y, branches.ranks),
                                 .d_x = dx.tensor,
                                 .d_x_mode = dx.mode});
  if (branches.own_t.index >= 0) tape.finish(branches.own_t);
}

void activate(Context& ctx, const FfnActivation& f, const Tensor& x, const Tensor& y) {
  f.gated ? gated_activation_forward(ctx, f.function, x, y)
          : activation_forward(ctx, f.function, x, y);
  if (f.dropout.p > 0.0f) dropout(ctx, f.dropout, y, y);
}

// With what the Linear reads made again: it is no elementwise function of x's own columns alone.
void remade_backward(Tape& tape, const Branches& branches, const FfnActivation& f, bool trains,
                     Var x, Var y) {
  Context& ctx = tape.context();
  const Tensor in = tape.value(x);
  const GradientTarget dx = tape.target(x);
  const int64_t cols = branches.linears->weight.k();
  const size_t n_bytes = static_cast<size_t>(tape.row_capacity(x) * cols) * dtype_size(in.dtype);
  const bool remakes = trains && branches.needs_input();
  const Scratch activated_memory(*ctx.arena, remakes ? n_bytes : 0);
  const Scratch gradient_memory(*ctx.arena, dx.tensor ? n_bytes : 0);
  const Tensor activated = make_tensor(activated_memory.data(), in.rows, cols, in.dtype, in.device);
  GradientTarget d_activated;
  if (dx.tensor) {
    d_activated.tensor = make_tensor(gradient_memory.data(), in.rows, cols, in.dtype, in.device);
  }
  if (remakes) activate(ctx, f, in, activated);
  backward_parts(tape, branches, trains, activated, {}, y, d_activated);
  if (!dx.tensor) return;
  const Tensor& d = d_activated.tensor;
  if (f.dropout.p > 0.0f) dropout(ctx, f.dropout, d, d);
  f.gated ? gated_activation_backward(ctx, f.function, in, d, dx.tensor)
          : activation_backward(ctx, f.function, in, d, dx.tensor);
}

}  // namespace

Norm ForwardPass::with_adapter(const Norm& norm) const {
  Norm changed = norm;
  if (const FullTensor* const gamma = full(norm.gamma_id)) {
    changed.gamma = gamma->value;
    changed.d_gamma = gamma->gradient;
  }
  if (const FullTensor* const beta = full(norm.beta_id)) {
    changed.beta = beta->value;
    changed.d_beta = beta->gradient;
  }
  return changed;
}

bool can_be_mixed(const LoraAdapter* adapter) {
  return !adapter ||
         (!adapter->config().use_dora && adapter->full_tensors().empty() && !adapter->token_rows());
}

Dropout ForwardPass::dropout(float p, RandomPurpose purpose, uint32_t layer, uint32_t site) const {
  if (!training || p == 0.0f) return Dropout{};
  return Dropout{.p = p,
                 .purpose = purpose,
                 .layer = layer,
                 .site = site,
                 .row_samples = gathered ? rows.samples : batch.row_samples,
                 .row_indices = gathered ? rows.indices : batch.row_indices};
}

int64_t lora_room(const ForwardPass& pass, std::span<const Linear> parts) {
  int64_t ranks = 0;
  for (const Linear& part : parts) {
    const LoraPair* pair = pass.adapter ? pass.adapter->pair(part.id) : nullptr;
    if (pair) ranks += pair->r;
  }
  return lora_room(pass.tape->context(), ranks);
}

Var linear(const ForwardPass& pass, std::span<const Linear> parts, Var x, uint32_t layer,
           LinearSite site) {
  Tape& tape = *pass.tape;
  Branches branches = make_branches(pass, parts, layer, site);
  const bool trains = trainable(pass, branches);
  const Var y = make_output(pass, branches, x);
  forward_parts(tape, branches, trains, x, y);
  keep_products(tape, branches, trains);
  if (trains && branches.needs_input()) tape.save(x);
  tape.record(y, [branches, trains, x, y](Tape& t) {
    backward_parts(t, branches, trains, t.value(x), {}, y, t.target(x));
  });
  return y;
}

Var activation_linear(const ForwardPass& pass, const FfnActivation& f, const Linear& part, Var x,
                      uint32_t layer, LinearSite site) {
  Tape& tape = *pass.tape;
  Branches branches = make_branches(pass, {&part, 1}, layer, site);
  const bool trains = trainable(pass, branches);
  const Var y = make_output(pass, branches, x);
  const Tensor in = tape.value(x);
  const Var activated = tape.make(in.rows, tape.row_capacity(x), part.weight.k(), false,
                                  {.value = lora_room(tape.context(), branches.ranks)});
  activate(tape.context(), f, in, tape.value(activated));
  forward_parts(tape, branches, trains, activated, y);
  if (trains && branches.any() && branches.own_t.index < 0) {  // f(x) goes, and the room behind it
    branches.own_t = tape.make(in.rows, tape.row_capacity(x), branches.ranks, false);
    cast(tape.context(), branches.t, tape.value(branches.own_t));
    branches.t = tape.value(branches.own_t);
  }
  keep_products(tape, branches, trains);
  tape.drop(activated);
  if (tape.needs_gradient(y)) tape.save(x);
  tape.record(y, [branches, f, trains, x, y](Tape& t) {
    // Other products than LoRA's read f(x).
    if (f.gated || f.dropout.p > 0.0f || branches.has_magnitudes ||
        (trains && branches.has_weights)) {
      return remade_backward(t, branches, f, trains, x, y);
    }
    const GradientTarget dx = t.target(x);
    backward_parts(t, branches, trains, t.value(x), f.function, y, dx);
    if (!dx.tensor) return;
    activation_backward(t.context(), f.function, t.value(x), dx.tensor, dx.tensor);
  });
  return y;
}

}  // namespace qe
