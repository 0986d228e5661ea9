// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Dropout of one row, for the kernels that contain one.

#include "kernels/cpu/dropout_kernel.h"
#include "kernels/cpu/lane_loop.h"
#include "kernels/cpu/philox16.h"

namespace qe::cpu::QE_ISA {

// Columns whose decisions are made together: a 16 x 16 block.
constexpr int64_t kDropoutColumns = 256;

/// The factors of columns column .. column + 255 of row t. Lane l of the four draws below decides
/// for columns 16 l .. 16 l + 15, so a transposition brings them in order.
inline void keep_scales(const DropoutRows& d, int64_t t, int64_t column, float* scales) {
  float words[kDropoutColumns];
  const Int quads = set_int(d.rows[t] << 16) + set_int(static_cast<uint32_t>(column / 4)) +
                    shl<2>(lane_numbers());
  for (uint32_t i = 0; i < 4; ++i) {
    const Philox16 r = philox16(d.key, {set_int(d.samples[t]), set_int(d.epoch),
                                        set_int(d.layer_site), quads + set_int(i)});
    store(words + (4 * i + 0) * kLanes, keep_scale(r.x, d.threshold, d.scale));
    store(words + (4 * i + 1) * kLanes, keep_scale(r.y, d.threshold, d.scale));
    store(words + (4 * i + 2) * kLanes, keep_scale(r.z, d.threshold, d.scale));
    store(words + (4 * i + 3) * kLanes, keep_scale(r.w, d.threshold, d.scale));
  }
  transpose16(words, kLanes, scales, kLanes);
}

/// y = dropout(x) for the `cols` columns of row t; x and y may be the same.
inline void dropout_row(const DropoutRows& d, int64_t t, const float* x, float* y, int64_t cols) {
  float scales[kDropoutColumns];
  for (int64_t column = 0; column < cols; column += kDropoutColumns) {
    keep_scales(d, t, column, scales);
    const int64_t rest = cols - column;
    for_lanes(rest < kDropoutColumns ? rest : kDropoutColumns, [&](int64_t i, auto part) {
      store(y + column + i, drop(load(x + column + i, part), load(scales + i)), part);
    });
  }
}

}  // namespace qe::cpu::QE_ISA
