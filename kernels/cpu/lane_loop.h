// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Walking a row 16 lanes at a time: the same body for whole vectors and for the tail.
//
//   for_lanes(n, [&](int64_t i, auto part) { store(y + i, load(x + i, part) * two, part); });

#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {

/// All 16 lanes.
struct Whole {};
/// The first n lanes, n < 16: the end of a row.
struct Tail {
  int64_t n;
};

template <class Body>
QE_INLINE void for_lanes(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, Whole{});
  if (i < n) body(i, Tail{n - i});
}

QE_INLINE Vec load(const float* p, Whole) { return load(p); }
QE_INLINE Vec load(const float* p, Tail tail) { return load_first(p, tail.n); }
QE_INLINE void store(float* p, Vec v, Whole) { store(p, v); }
QE_INLINE void store(float* p, Vec v, Tail tail) { store_first(p, v, tail.n); }

/// 0, 1, 2 ... 15.
QE_INLINE Int lane_numbers() {
  constexpr uint32_t kNumbers[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load_int(kNumbers);
}

/// v inside the row, `other` in the lanes beyond its end.
QE_INLINE Vec inside(Vec v, Vec, Whole) { return v; }
QE_INLINE Vec inside(Vec v, Vec other, Tail tail) {
  return select(less_int(lane_numbers(), set_int(static_cast<uint32_t>(tail.n))), v, other);
}

}  // namespace qe::cpu::QE_ISA
