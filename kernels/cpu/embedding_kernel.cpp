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
QE_INLINE void add_row(const EmbeddingTable& table, int64_t t, float* out, int64_t cols, bool first,
                       float scale) {
  const auto* row =
      static_cast<const typename Type::Element*>(table.data) + table.ids[t] * table.stride;
  for_lanes(cols, [&](int64_t i, auto part) {
    const Vec v = Type::read(row + i, part);
    store(out + i, first ? v * set(scale) : load(out + i, part) + v, part);
  });
}

}  // namespace

void embedding_rows(const EmbeddingRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    float* out = args.out + t * args.out_stride;
    const float scale = args.word_scales != nullptr ? args.word_scales[t] : 1.0f;
    for (int n = 0; n < 3; ++n) {
      const EmbeddingTable& table = args.tables[n];
      if (table.data == nullptr) continue;
      switch (table.type) {
        case TableType::kF32:
          add_row<F32>(table, t, out, args.cols, n == 0, scale);
          break;
        case TableType::kF16:
          add_row<F16>(table, t, out, args.cols, n == 0, scale);
          break;
        case TableType::kBF16:
          add_row<BF16>(table, t, out, args.cols, n == 0, scale);
          break;
      }
    }
  }
}

}  // namespace qe::cpu::QE_ISA
