// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Linears with LoRA are composed of other ops; a backend adds only what moves or sums: blocks of
// matrices copied together, the sum of two matrices, and that of the outer products of two
// matrices' rows: gradients, which sum over many rows into few elements.

#include "kernels/ops/lora.h"

#include <algorithm>
#include <array>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/lora.h"
#include "kernels/cuda/lora.h"
#include "kernels/ops/contract.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/matmul4.h"
#include "kernels/ops/temporary.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

// The parts of a call, and which columns of t (u) and y (dy) are whose.
struct Group {
  struct Part {
    const LoraLinear* linear;
    int64_t n, rank;
    int64_t column, t_column;

    const LoraSegment& segment() const { return linear->segments.front(); }
  };
  std::array<Part, kMaxLoraParts> all{};
  size_t count = 0;
  int64_t n = 0, ranks = 0;                                        // sums
  std::array<const LoraSegment*, kMaxLoraParts> first_segments{};  // of the adapted parts
  size_t n_adapted = 0;

  std::span<const Part> parts() const { return {all.data(), count}; }
  // Of x and all of its rows.
  DroppedProduct dropped(const Tensor& x, const Dropout& dropout, const Tensor& t) const {
    return {x, dropout, {first_segments.data(), n_adapted}, t};
  }
};

void check_segment(const Context& ctx, const char* op, const LoraSegment& segment, int64_t n_rows,
                   int64_t k, int64_t n) {
  QE_CHECK(
      segment.row_begin >= 0 && segment.row_begin <= segment.row_end && segment.row_end <= n_rows,
      op, ": segment of rows [", segment.row_begin, ", ", segment.row_end, ") in a batch of ",
      n_rows);
  const int64_t rank = segment.a.rows;
  contract::check_computed(ctx, op, "a", segment.a, rank, k);
  contract::check_computed(ctx, op, "b", segment.b, n, rank);
}

void check_segments_apart(const char* op, std::span<const LoraSegment> segments) {
  for (size_t i = 0; i < segments.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const LoraSegment& one = segments[i];
      const LoraSegment& other = segments[j];
      QE_CHECK(one.row_begin >= other.row_end || other.row_begin >= one.row_end ||
                   one.row_begin == one.row_end || other.row_begin == other.row_end,
               op, ": segments ", j, " and ", i, " overlap");
    }
  }
}

// Checks the parts on the way.
Group group_of(const Context& ctx, const char* op, std::span<const LoraLinear> parts,
               int64_t n_rows, int64_t k) {
  QE_CHECK(parts.size() >= 1 && parts.size() <= kMaxLoraParts, op, ": expected 1 to ",
           kMaxLoraParts, " parts, got ", parts.size());
  Group group;
  for (const LoraLinear& part : parts) {
    QE_CHECK(part.k() == k, op, ": a weight of ", part.k(), " columns over x of ", k);
    if (part.quantized && part.quantized->expanded) {
      contract::check_computed(ctx, op, "the expanded weight", part.quantized->expanded, part.n(),
                               k);
    }
    for (const LoraSegment& segment : part.segments) {
      check_segment(ctx, op, segment, n_rows, k, part.n());
    }
    check_segments_apart(op, part.segments);
    group.all[group.count++] = {&part, part.n(), part.rank(), group.n, group.ranks};
    group.n += part.n();
    group.ranks += part.rank();
    if (!part.segments.empty()) group.first_segments[group.n_adapted++] = &part.segments.front();
  }
  return group;
}

// Whether `behind` is the columns right behind those of `t`, in the same rows.
bool follows(const Tensor& t, const Tensor& behind) {
  return t.stride == behind.stride && behind.data == t.col_range(t.cols, 0).data;
}
Tensor widened(Tensor t, int64_t columns) {
  t.cols += columns;
  return t;
}

bool joins(const Context& ctx, const char* op, LoraProducts products, const Group& group,
           const Tensor& matrix, const Tensor& behind) {
  if (products == LoraProducts::kApart || group.n_adapted == 0) return false;
  bool possible = follows(matrix, behind);
  bool decodes = true;
  for (const Group::Part& part : group.parts()) {
    decodes = decodes && part.linear->quantized;
    if (part.linear->segments.empty()) continue;
    possible = possible && part.linear->segments.size() == 1 && part.segment().row_begin == 0 &&
               part.segment().row_end == matrix.rows;
  }
  QE_CHECK(possible || products == LoraProducts::kChoose, op,
           ": joined products take t (u) behind x (dy), and one segment of all rows");
  return possible && (products == LoraProducts::kJoined ||
                      QE_ON_DEVICE(ctx.device.kind, lora_joins, matrix.rows, decodes));
}

int64_t whole_packs(int64_t columns) {
  constexpr int64_t kPack = 8;  // rows of 16-bit elements begin at multiples of 16 bytes
  return (columns + kPack - 1) / kPack * kPack;
}

// The parts' expanded weights with the room behind and below them, if they stand one below the
// other and there is enough of it; else absent.
Tensor expanded_weights(const Group& group, int64_t k) {
  Tensor all;
  for (const Group::Part& part : group.parts()) {
    const Quant4Matrix* const w = part.linear->quantized;
    if (w == nullptr || !w->expanded) return {};
    if (!all) all = w->expanded;
    const Tensor here = all.row_range(part.column, part.n);
    if (w->expanded.data != here.data || w->expanded.stride != here.stride) return {};
  }
  if (group.parts().back().linear->quantized->expanded_room < group.ranks) return {};
  all.rows = group.n + group.ranks;
  all.cols = k + group.ranks;
  return all;
}

// W of all parts, one below the other, as the first rows and columns of a matrix with `ranks` more
// of both: where it is kept, or decoded into the arena.
class JoinedWeights {
 public:
  JoinedWeights(Context& ctx, const Group& group, int64_t k) : matrix_(expanded_weights(group, k)) {
    if (matrix_) return;
    matrix_ = decoded_.emplace(ctx, group.n + group.ranks, k + whole_packs(group.ranks)).matrix();
    matrix_.cols = k + group.ranks;
    for (const Group::Part& part : group.parts()) {
      const Tensor w = matrix_.row_range(part.column, part.n).col_range(0, k);
      if (part.linear->quantized) {
        dequantize4(ctx, *part.linear->quantized, w);
      } else {
        cast(ctx, part.linear->dense, w);
      }
    }
  }
  const Tensor& matrix() const { return matrix_; }

 private:
  std::optional<Temporary> decoded_;
  Tensor matrix_;
};

class Blocks {
 public:
  // from absent: zeros.
  void add(const Tensor& from, const Tensor& to) { blocks_[count_++] = {from, to}; }
  void copy(Context& ctx) const {
    const std::span<const CopiedBlock> blocks(blocks_.data(), count_);
    QE_DISPATCH(ctx, copy_blocks, ctx, blocks);
  }

 private:
  std::array<CopiedBlock, kMaxCopiedBlocks> blocks_{};
  size_t count_ = 0;
};

void base_forward(Context& ctx, const LoraLinear& part, const Tensor& x, const Tensor& y) {
  if (part.quantized) return matmul4_forward(ctx, x, *part.quantized, part.bias, y);
  gemm(ctx, {.a = x, .b = part.dense, .bias = part.bias, .c = y});
}

void base_backward(Context& ctx, const LoraLinear& part, const Tensor& dy, const Tensor& dx,
                   GradientMode mode) {
  if (part.quantized) return matmul4_backward(ctx, dy, *part.quantized, dx, mode);
  gemm(ctx, {.a = dy, .b = part.dense, .b_transposed = false, .c = dx, .mode = mode});
}

void forward_apart(Context& ctx, const LoraForward& args, const Group& group,
                   const Tensor& dropped) {
  for (const Group::Part& part : group.parts()) {
    const Tensor y = args.y.col_range(part.column, part.n);
    base_forward(ctx, *part.linear, args.x, y);
    for (const LoraSegment& segment : part.linear->segments) {
      const int64_t begin = segment.row_begin;
      const int64_t n = segment.row_end - begin;
      const Tensor t = args.t.row_range(begin, n).col_range(part.t_column, segment.a.rows);
      gemm(ctx, {.a = dropped.row_range(begin, n), .b = segment.a, .alpha = segment.scale, .c = t});
      gemm(ctx,
           {.a = t, .b = segment.b, .c = y.row_range(begin, n), .mode = GradientMode::kAccumulate});
    }
  }
}

// t of all parts: one product, unless their scales differ.
void project_down(Context& ctx, const LoraForward& args, const Group& group, const Tensor& dropped,
                  const Tensor& a) {
  const float scale = group.first_segments[0]->scale;
  bool same_scale = true;
  for (size_t i = 0; i < group.n_adapted; ++i) {
    same_scale = same_scale && group.first_segments[i]->scale == scale;
  }
  if (same_scale) return gemm(ctx, {.a = dropped, .b = a, .alpha = scale, .c = args.t});
  for (const Group::Part& part : group.parts()) {
    if (part.rank == 0) continue;
    gemm(ctx, {.a = dropped,
               .b = a.row_range(part.t_column, part.rank),
               .alpha = part.segment().scale,
               .c = args.t.col_range(part.t_column, part.rank)});
  }
}

// dropped absent: t is there already.
void forward_joined(Context& ctx, const LoraForward& args, const Group& group,
                    const Tensor& dropped) {
  const int64_t k = args.x.cols;
  const bool several = group.count > 1;
  const bool stacks = several && dropped;
  const bool biased = std::any_of(group.parts().begin(), group.parts().end(),
                                  [](const Group::Part& p) { return bool{p.linear->bias}; });
  const JoinedWeights w(ctx, group, k);
  const Temporary a(ctx, stacks ? group.ranks : 0, k);
  const Temporary bias(ctx, 1, several && biased ? group.n : 0);
  Blocks blocks;
  for (const Group::Part& part : group.parts()) {
    const Tensor rows = w.matrix().row_range(part.column, part.n);
    for (const Group::Part& other : group.parts()) {
      if (other.rank == 0) continue;
      blocks.add(&other == &part ? part.segment().b : Tensor{},
                 rows.col_range(k + other.t_column, other.rank));
    }
    if (stacks && part.rank > 0) {
      blocks.add(part.segment().a, a.matrix().row_range(part.t_column, part.rank));
    }
    if (several && biased) {
      blocks.add(part.linear->bias, bias.matrix().col_range(part.column, part.n));
    }
  }
  blocks.copy(ctx);
  const Group::Part& only = group.parts().front();
  if (dropped) project_down(ctx, args, group, dropped, stacks ? a.matrix() : only.segment().a);
  gemm(ctx, {.a = widened(args.x, group.ranks),
             .b = w.matrix().row_range(0, group.n),
             .bias = several && biased ? bias.matrix() : only.linear->bias,
             .c = args.y});
}

// d[0] += rows of left^T prepared right from the first on, d[1] += those behind, ...
void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right,
                        const Preparation& preparation, std::span<const Tensor> d) {
  const size_t n_bytes =
      QE_ON_DEVICE(ctx.device.kind, add_outer_products_workspace_bytes, ctx, left.rows, d);
  const Scratch scratch(*ctx.arena, n_bytes);
  QE_DISPATCH(ctx, add_outer_products, ctx, left, right, preparation, d, scratch.f32());
}

Dropout rows_of(const Dropout& all, int64_t begin, int64_t n) {
  if (all.p == 0.0f) return all;
  Dropout part = all;
  part.row_samples = all.row_samples.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
  part.row_indices = all.row_indices.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
  return part;
}

// d_a and d_b of all parts, and u. What follows reads the segment's rows of u.
void parameter_gradients(Context& ctx, const LoraBackward& args, const Group& group,
                         const Tensor& u) {
  std::array<Tensor, kMaxLoraParts> d_a{};
  const LoraSegment* first = nullptr;
  size_t n_wanted = 0;
  bool together = true;  // one sum over x for all parts
  bool wants_u = static_cast<bool>(args.d_x);
  for (const Group::Part& part : group.parts()) wants_u = wants_u || part.linear->d_a;
  for (const Group::Part& part : group.parts()) {
    if (part.linear->segments.empty()) continue;
    const LoraSegment& segment = part.segment();
    const int64_t begin = segment.row_begin;
    const int64_t n = segment.row_end - begin;
    const Tensor dy = args.dy.row_range(begin, n).col_range(part.column, part.n);
    if (part.linear->d_b) {
      const Tensor t = args.t.row_range(begin, n).col_range(part.t_column, part.rank);
      add_outer_products(ctx, dy, t, {}, {&part.linear->d_b, 1});
    }
    if (!wants_u) continue;
    gemm(ctx, {.a = dy,
               .b = segment.b,
               .b_transposed = false,
               .alpha = segment.scale,
               .c = u.row_range(begin, n).col_range(part.t_column, part.rank)});
    if (first == nullptr) first = &segment;
    together = together && part.linear->d_a && begin == first->row_begin &&
               segment.row_end == first->row_end;
    if (part.linear->d_a) d_a[n_wanted++] = part.linear->d_a;
  }
  if (n_wanted == 0) return;
  const Preparation preparation{args.activation, args.dropout};
  if (together && QE_ON_DEVICE(ctx.device.kind, sums_prepare, ctx, u, args.x)) {
    const int64_t begin = first->row_begin;
    const int64_t n = first->row_end - begin;
    return add_outer_products(ctx, u.row_range(begin, n), args.x.row_range(begin, n),
                              {args.activation, rows_of(args.dropout, begin, n)},
                              {d_a.data(), n_wanted});
  }
  std::optional<Temporary> prepared;
  if (!preparation.none()) prepared.emplace(ctx, args.x.rows, args.x.cols);
  const Tensor x = prepared ? prepared->matrix() : args.x;
  if (args.activation) activation_forward(ctx, *args.activation, args.x, x);
  if (args.dropout.p > 0.0f) dropout(ctx, args.dropout, args.activation ? x : args.x, x);
  if (together) {
    const int64_t begin = first->row_begin;
    const int64_t n = first->row_end - begin;
    return add_outer_products(ctx, u.row_range(begin, n), x.row_range(begin, n), {},
                              {d_a.data(), n_wanted});
  }
  for (const Group::Part& part : group.parts()) {
    if (!part.linear->d_a || part.linear->segments.empty()) continue;
    const int64_t begin = part.segment().row_begin;
    const int64_t n = part.segment().row_end - begin;
    add_outer_products(ctx, u.row_range(begin, n).col_range(part.t_column, part.rank),
                       x.row_range(begin, n), {}, {&part.linear->d_a, 1});
  }
}

// d_x += dropout'(u A), for the rows of u.
void add_adapter_share(Context& ctx, const Tensor& u, const Tensor& a, const Dropout& spec,
                       const Tensor& d_x) {
  if (spec.p == 0.0f) {
    constexpr GradientMode kAdd = GradientMode::kAccumulate;
    return gemm(ctx, {.a = u, .b = a, .b_transposed = false, .c = d_x, .mode = kAdd});
  }
  const Temporary share(ctx, d_x.rows, d_x.cols);
  gemm(ctx, {.a = u, .b = a, .b_transposed = false, .c = share.matrix()});
  dropout(ctx, spec, share.matrix(), d_x, d_x);
}

void input_gradient_apart(Context& ctx, const LoraBackward& args, const Group& group,
                          const Tensor& u) {
  GradientMode mode = args.d_x_mode;
  for (const Group::Part& part : group.parts()) {
    base_backward(ctx, *part.linear, args.dy.col_range(part.column, part.n), args.d_x, mode);
    mode = GradientMode::kAccumulate;
    if (part.linear->segments.empty()) continue;
    const LoraSegment& segment = part.segment();
    const int64_t begin = segment.row_begin;
    const int64_t n = segment.row_end - begin;
    add_adapter_share(ctx, u.row_range(begin, n).col_range(part.t_column, part.rank), segment.a,
                      rows_of(args.dropout, begin, n), args.d_x.row_range(begin, n));
  }
}

void input_gradient_joined(Context& ctx, const LoraBackward& args, const Group& group,
                           const Tensor& u) {
  const int64_t k = args.d_x.cols;
  const JoinedWeights joined(ctx, group, k);
  const Tensor w = joined.matrix().col_range(0, k);
  const Tensor a = w.row_range(group.n, group.ranks);
  Blocks blocks;
  for (const Group::Part& part : group.parts()) {
    if (part.rank > 0) blocks.add(part.segment().a, a.row_range(part.t_column, part.rank));
  }
  blocks.copy(ctx);
  const bool drops = args.dropout.p > 0.0f;  // what u A adds, by itself
  gemm(ctx, {.a = drops ? args.dy : widened(args.dy, group.ranks),
             .b = drops ? w.row_range(0, group.n) : w,
             .b_transposed = false,
             .c = args.d_x,
             .mode = args.d_x_mode});
  if (!drops) return;
  const DroppedProduct up = group.dropped(args.d_x, args.dropout, u);
  if (QE_ON_DEVICE(ctx.device.kind, has_dropped_products, ctx, up)) {
    QE_DISPATCH(ctx, dropped_up, ctx, up);
  } else {
    add_adapter_share(ctx, u, a, args.dropout, args.d_x);
  }
}

void check_backward(const Context& ctx, const char* op, const LoraBackward& args,
                    const Group& group) {
  const int64_t n_rows = args.dy.rows;
  const int64_t k = args.parts.front().k();
  contract::check_computed(ctx, op, "dy", args.dy, n_rows, group.n);
  bool reads_x = false, reads_t = false;
  for (const Group::Part& part : group.parts()) {
    QE_CHECK(part.linear->segments.size() <= 1, op, ": expected one segment, got ",
             part.linear->segments.size());
    if (part.linear->segments.empty()) continue;
    const Tensor& d_a = part.linear->d_a;
    const Tensor& d_b = part.linear->d_b;
    if (d_a) contract::check_matrix(ctx, op, "d_a", d_a, part.rank, k);
    if (d_b) contract::check_matrix(ctx, op, "d_b", d_b, part.n, part.rank);
    reads_x = reads_x || d_a;
    reads_t = reads_t || d_b;
  }
  if (reads_x) contract::check_computed(ctx, op, "x", args.x, n_rows, k);
  if (reads_t) contract::check_computed(ctx, op, "t", args.t, n_rows, group.ranks);
  if (args.u) contract::check_computed(ctx, op, "u", args.u, n_rows, group.ranks);
  if (args.d_x) contract::check_computed(ctx, op, "d_x", args.d_x, n_rows, k);
  if (group.n_adapted > 0) contract::check_dropout(ctx, op, args.dropout, n_rows, k);
}

}  // namespace

int64_t LoraLinear::rank() const {
  int64_t largest = 0;
  for (const LoraSegment& segment : segments) largest = std::max(largest, segment.a.rows);
  return largest;
}

int64_t lora_room(const Context& ctx, int64_t ranks) {
  return ctx.device.kind == DeviceKind::kCpu ? 0 : whole_packs(ranks);
}

void lora_forward(Context& ctx, const LoraForward& args) {
  constexpr const char* kOp = "lora_forward";
  const int64_t n_rows = args.x.rows;
  const int64_t k = args.x.cols;
  contract::check_computed(ctx, kOp, "x", args.x, n_rows, k);
  const Group group = group_of(ctx, kOp, args.parts, n_rows, k);
  contract::check_computed(ctx, kOp, "y", args.y, n_rows, group.n);
  if (group.n_adapted > 0) {
    contract::check_computed(ctx, kOp, "t", args.t, n_rows, group.ranks);
    contract::check_dropout(ctx, kOp, args.dropout, n_rows, k);
  }
  const bool joined = joins(ctx, kOp, args.products, group, args.x, args.t);
  const bool drops = group.n_adapted > 0 && args.dropout.p > 0.0f;
  const DroppedProduct down = group.dropped(args.x, args.dropout, args.t);
  if (joined && drops && QE_ON_DEVICE(ctx.device.kind, has_dropped_products, ctx, down)) {
    QE_DISPATCH(ctx, dropped_down, ctx, down);
    return forward_joined(ctx, args, group, {});
  }
  std::optional<Temporary> dropped;
  if (drops) {
    dropped.emplace(ctx, n_rows, k);
    dropout(ctx, args.dropout, args.x, dropped->matrix());
  }
  const Tensor& x = dropped ? dropped->matrix() : args.x;
  joined ? forward_joined(ctx, args, group, x) : forward_apart(ctx, args, group, x);
}

void lora_backward(Context& ctx, const LoraBackward& args) {
  constexpr const char* kOp = "lora_backward";
  QE_CHECK(!args.parts.empty(), kOp, ": expected 1 to ", kMaxLoraParts, " parts, got 0");
  const Group group = group_of(ctx, kOp, args.parts, args.dy.rows, args.parts.front().k());
  check_backward(ctx, kOp, args, group);
  std::optional<Temporary> own;
  if (!args.u && group.n_adapted > 0) own.emplace(ctx, args.dy.rows, group.ranks);
  const Tensor u = own ? own->matrix() : args.u;
  if (group.n_adapted > 0) parameter_gradients(ctx, args, group, u);
  if (!args.d_x) return;
  if (joins(ctx, kOp, args.products, group, args.dy, u)) {
    input_gradient_joined(ctx, args, group, u);
  } else {
    input_gradient_apart(ctx, args, group, u);
  }
}

}  // namespace qe
