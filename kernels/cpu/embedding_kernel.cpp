// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/embedding_kernel.h"

#include "kernels/cpu/lane_loop.h"

namespace qe::cpu::QE_ISA {
namespace {

struct F32 {
  using Element = float;
  QE_INLINE static Vec read(const float* p, Whole) { return load(p); }
  QE_INLINE static Vec read(const float* p, Tail tail) { return load_first(p, tail.n); }
};
struct F16 {
  using Element = uint16_t;
  QE_INLINE static Vec read(const uint16_t* p, Whole) { return load_f16(p); }
  QE_INLINE static Vec read(const uint16_t* p, Tail tail) { return load_f16_first(p, tail.n); }
};
struct BF16 {
  using Element = uint16_t;
  QE_INLINE static Vec read(const uint16_t* p, Whole) { return load_bf16(p); }
  QE_INLINE static Vec read(const uint16_t* p, Tail tail) { return load_bf16_first(p, tail.n); }
};

template <class Type>
QE_INLINE void add_row(const EmbeddingTable& table, int64_t id, float* out, int64_t cols,
                       bool first, float scale) {
  const auto* row = static_cast<const typename Type::Element*>(table.data) + id * table.stride;
  for_lanes(cols, [&](int64_t i, auto part) {
    const Vec v = Type::read(row + i, part);
    store(out + i, first ? v * set(scale) : load(out + i, part) + v, part);
  });
}

}  // namespace

void embedding_rows(const EmbeddingRows& args, int64_t begin, int64_t end) {
  const EmbeddingTable replaced{args.replaced, args.replaced_stride, TableType::kF32, nullptr};
  for (int64_t t = begin; t < end; ++t) {
    float* out = args.out + t * args.out_stride;
    const float scale = args.word_scales != nullptr ? args.word_scales[t] : 1.0f;
    const int32_t word = args.tables[0].ids[t];
    const int32_t slot = args.slots != nullptr ? args.slots[word] : -1;
    for (int n = 0; n < 3; ++n) {
      const bool is_replaced = n == 0 && slot >= 0;
      const EmbeddingTable& table = is_replaced ? replaced : args.tables[n];
      if (table.data == nullptr) continue;
      const int64_t id = is_replaced ? slot : table.ids[t];
      switch (table.type) {
        case TableType::kF32:
          add_row<F32>(table, id, out, args.cols, n == 0, scale);
          break;
        case TableType::kF16:
          add_row<F16>(table, id, out, args.cols, n == 0, scale);
          break;
        case TableType::kBF16:
          add_row<BF16>(table, id, out, args.cols, n == 0, scale);
          break;
      }
    }
  }
}

void embedding_gradient(const EmbeddingGradient& args, int64_t begin, int64_t end) {
  for (int64_t t = 0; t < args.rows; ++t) {
    const int32_t id = args.ids[t];
    if (id == args.padding_id) continue;
    const int64_t row = args.slots != nullptr ? args.slots[id] : id;
    if (row < 0) continue;
    const Vec scale = set(args.scales != nullptr ? args.scales[t] : 1.0f);
    const float* from = args.d_out + t * args.d_out_stride + begin;
    float* const to = args.d_table + row * args.d_table_stride + begin;
    for_lanes(end - begin, [&](int64_t i, auto part) {
      store(to + i, fma(scale, load(from + i, part), load(to + i, part)), part);
    });
  }
}

}  // namespace qe::cpu::QE_ISA
