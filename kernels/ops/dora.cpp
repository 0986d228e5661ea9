// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Composed of lora's products; a backend adds what works on rows and columns.

#include "kernels/ops/dora.h"

#include <algorithm>
#include <array>
#include <optional>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/dora.h"
#include "kernels/cuda/dora.h"
#include "kernels/ops/column_sums.h"
#include "kernels/ops/contract.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/temporary.h"

namespace qe {
namespace {

// Copies of a call's parts without what dora adds itself.
class Parts {
 public:
  explicit Parts(std::span<const LoraLinear> parts) : count_(parts.size()) {
    std::copy(parts.begin(), parts.end(), parts_.begin());
  }
  Parts& without_bias() {
    for (LoraLinear& part : parts_) part.bias = {};
    return *this;
  }
  Parts& without_adapters() {
    for (LoraLinear& part : parts_) {
      part.segments = {};
      part.d_a = part.d_b = {};
    }
    return *this;
  }
  std::span<const LoraLinear> span() const { return {parts_.data(), count_}; }

 private:
  std::array<LoraLinear, kMaxLoraParts> parts_;
  size_t count_;
};

// Checks what the products below do not; returns the sum of N.
int64_t check_parts(const Context& ctx, const char* op, std::span<const LoraLinear> parts,
                    std::span<const DoraScale> scales, int64_t n_rows) {
  QE_CHECK(!parts.empty() && parts.size() <= kMaxLoraParts && parts.size() == scales.size(), op,
           ": expected 1 to ", kMaxLoraParts, " parts and a scale for each, got ", parts.size(),
           " and ", scales.size());
  int64_t n = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const LoraLinear& part = parts[i];
    const DoraScale& scale = scales[i];
    n += part.n();
    const bool adapted = !part.segments.empty();
    QE_CHECK(adapted == static_cast<bool>(scale.norms), op,
             ": expected a magnitude for each part with an adapter, and for no other");
    if (!adapted) continue;
    QE_CHECK(part.segments.size() == 1 && part.segments[0].row_begin == 0 &&
                 part.segments[0].row_end == n_rows,
             op, ": expected one segment of all ", n_rows, " rows");
    contract::check_matrix(ctx, op, "magnitude", scale.magnitude, 1, part.n());
    contract::check_matrix(ctx, op, "norms", scale.norms, 1, part.n());
    if (scale.d_magnitude) {
      contract::check_matrix(ctx, op, "d_magnitude", scale.d_magnitude, 1, part.n());
    }
  }
  return n;
}

// body(index, first column, columns) for each part.
template <class Body>
void for_columns(std::span<const LoraLinear> parts, const Body& body) {
  int64_t column = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    body(i, column, parts[i].n());
    column += parts[i].n();
  }
}

// dz = (g - shift) dy of all parts; with magnitudes' gradients, where z is given.
void scale_gradients(Context& ctx, const DoraBackward& args, const Tensor& z, float shift,
                     const Tensor& dz) {
  for_columns(args.parts, [&](size_t i, int64_t column, int64_t n) {
    DoraScaleBackward part{.dy = args.dy.col_range(column, n),
                           .scale = args.scales[i],
                           .shift = shift,
                           .dz = dz.col_range(column, n)};
    if (z) part.z = z.col_range(column, n);
    if (!z) part.scale.d_magnitude = {};
    const bool sums = static_cast<bool>(part.scale.d_magnitude);
    const Scratch scratch(*ctx.arena, sums ? column_sums_workspace_bytes(ctx, args.dy.rows, n) : 0);
    QE_DISPATCH(ctx, dora_scale_backward, ctx, part, scratch.f32());
  });
}

// d_x = [d_x +] dy W + dropout'(dz W - dy W + u A), where dz - dy is put into `difference`.
void dropped_input_gradient(Context& ctx, const DoraBackward& args, const Tensor& u,
                            const Tensor& difference, const Tensor& d_dropped) {
  const Parts base = Parts(args.parts).without_bias().without_adapters();
  scale_gradients(ctx, args, {}, 1.0f, difference);
  lora_backward(ctx, {.parts = base.span(),
                      .dy = difference,
                      .d_x = d_dropped,
                      .d_x_mode = GradientMode::kOverwrite});
  int64_t rank_at = 0;
  for (const LoraLinear& part : args.parts) {
    if (part.segments.empty()) continue;
    gemm(ctx, {.a = u.col_range(rank_at, part.rank()),
               .b = part.segments[0].a,
               .b_transposed = false,
               .c = d_dropped,
               .mode = GradientMode::kAccumulate});
    rank_at += part.rank();
  }
  lora_backward(ctx,
                {.parts = base.span(), .dy = args.dy, .d_x = args.d_x, .d_x_mode = args.d_x_mode});
  dropout(ctx, args.dropout, d_dropped, args.d_x, args.d_x);
}

}  // namespace

void dora_squares(Context& ctx, const LoraLinear& part, const Tensor& squares) {
  contract::check_matrix(ctx, "dora_squares", "squares", squares, 1, part.n());
  if (!part.quantized) {
    contract::check_weight(ctx, "dora_squares", "dense", part.dense, part.n(), part.k());
    QE_DISPATCH(ctx, row_squares, ctx, part.dense, squares);
    return;
  }
  const Temporary w(ctx, part.n(), part.k());
  dequantize4(ctx, *part.quantized, w.matrix());
  QE_DISPATCH(ctx, row_squares, ctx, w.matrix(), squares);
}

void dora_norms(Context& ctx, const LoraLinear& part, const Tensor& squares, const Tensor& norms) {
  constexpr const char* kOp = "dora_norms";
  QE_CHECK(part.segments.size() == 1, kOp, ": expected one segment, got ", part.segments.size());
  const LoraSegment& pair = part.segments[0];
  const int64_t n = part.n();
  const int64_t r = part.rank();
  contract::check_matrix(ctx, kOp, "squares", squares, 1, n);
  contract::check_matrix(ctx, kOp, "norms", norms, 1, n);
  contract::check_computed(ctx, kOp, "a", pair.a, r, part.k());
  contract::check_computed(ctx, kOp, "b", pair.b, n, r);
  const Temporary products(ctx, r, n);
  const Temporary gram(ctx, r, r);
  const Temporary gram_b(ctx, n, r);
  const Parts base = Parts({&part, 1}).without_bias().without_adapters();
  lora_forward(ctx, {.x = pair.a, .parts = base.span(), .y = products.matrix()});
  gemm(ctx, {.a = pair.a, .b = pair.a, .c = gram.matrix()});
  gemm(ctx, {.a = pair.b, .b = gram.matrix(), .c = gram_b.matrix()});
  const DoraNorms args{.squares = squares,
                       .products = products.matrix(),
                       .b = pair.b,
                       .gram_b = gram_b.matrix(),
                       .scale = pair.scale,
                       .norms = norms};
  QE_DISPATCH(ctx, dora_row_norms, ctx, args);
}

void dora_forward(Context& ctx, const DoraForward& args) {
  constexpr const char* kOp = "dora_forward";
  const int64_t n = check_parts(ctx, kOp, args.parts, args.scales, args.x.rows);
  contract::check_computed(ctx, kOp, "z", args.z, args.x.rows, n);
  contract::check_computed(ctx, kOp, "y", args.y, args.x.rows, n);
  const bool drops = args.dropout.p > 0.0f;
  drops ? contract::check_disjoint(kOp, "z", args.z, "y", args.y)
        : contract::check_in_place(kOp, "z", args.z, "y", args.y);
  std::optional<Temporary> dropped;
  if (drops) {
    dropped.emplace(ctx, args.x.rows, args.x.cols);
    dropout(ctx, args.dropout, args.x, dropped->matrix());
  }
  lora_forward(ctx, {.x = drops ? dropped->matrix() : args.x,
                     .parts = Parts(args.parts).without_bias().span(),
                     .t = args.t,
                     .y = args.z});
  // With dropout z = dropout(x) W^T + t B^T: what is wanted is x W^T + bias + (g - 1) z + t B^T.
  if (drops) {
    const Parts base = Parts(args.parts).without_adapters();
    lora_forward(ctx, {.x = args.x, .parts = base.span(), .y = args.y});
  }
  int64_t rank_at = 0;
  for_columns(args.parts, [&](size_t i, int64_t column, int64_t width) {
    const LoraLinear& part = args.parts[i];
    const Tensor y = args.y.col_range(column, width);
    if (drops && part.segments.empty()) return;
    const DoraScaleForward scaled{.z = args.z.col_range(column, width),
                                  .scale = args.scales[i],
                                  .shift = drops ? 1.0f : 0.0f,
                                  .bias = drops ? Tensor{} : part.bias,
                                  .y = y,
                                  .add = drops};
    QE_DISPATCH(ctx, dora_scale, ctx, scaled);
    if (!drops) return;
    gemm(ctx, {.a = args.t.col_range(rank_at, part.rank()),
               .b = part.segments[0].b,
               .c = y,
               .mode = GradientMode::kAccumulate});
    rank_at += part.rank();
  });
}

void dora_backward(Context& ctx, const DoraBackward& args) {
  constexpr const char* kOp = "dora_backward";
  const int64_t n_rows = args.dy.rows;
  const int64_t n = check_parts(ctx, kOp, args.parts, args.scales, n_rows);
  contract::check_computed(ctx, kOp, "dy", args.dy, n_rows, n);
  contract::check_computed(ctx, kOp, "z", args.z, n_rows, n);
  const Parts parts = Parts(args.parts).without_bias();
  if (args.dropout.p == 0.0f) {
    scale_gradients(ctx, args, args.z, 0.0f, args.dy);
    return lora_backward(ctx, {.x = args.x,
                               .parts = parts.span(),
                               .t = args.t,
                               .dy = args.dy,
                               .u = args.u,
                               .d_x = args.d_x,
                               .d_x_mode = args.d_x_mode});
  }
  const int64_t k = args.parts.front().k();
  contract::check_computed(ctx, kOp, "x", args.x, n_rows, k);
  const Temporary dropped(ctx, n_rows, k);
  const Temporary dz(ctx, n_rows, n);
  const Temporary u(ctx, n_rows, args.t.cols);
  dropout(ctx, args.dropout, args.x, dropped.matrix());
  scale_gradients(ctx, args, args.z, 0.0f, dz.matrix());
  lora_backward(ctx, {.x = dropped.matrix(),
                      .parts = parts.span(),
                      .t = args.t,
                      .dy = dz.matrix(),
                      .u = u.matrix()});
  if (args.d_x) dropped_input_gradient(ctx, args, u.matrix(), dz.matrix(), dropped.matrix());
}

}  // namespace qe
