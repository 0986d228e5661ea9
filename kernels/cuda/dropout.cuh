// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The keep decisions of dropout, for every kernel that contains one. They are the CPU's bit for
// bit: kernels/core/philox.h over (seed, purpose) and the element's place in its sample.

#include "kernels/core/philox.h"
#include "kernels/core/step_state.h"
#include "kernels/ops/dropout.h"

namespace qe::cuda {

/// A Dropout as kernels take it. Seed and epoch are read on the device.
struct DropoutPlan {
  bool on = false;
  RandomPurpose purpose = RandomPurpose::kHiddenDropout;
  uint32_t layer = 0, site = 0;
  uint32_t threshold = 0;
  float scale = 1.0f;
  const uint32_t* samples = nullptr;  // (T)
  const uint32_t* rows = nullptr;     // (T)
  const StepState* step = nullptr;
};

inline DropoutPlan plan_dropout(const Context& ctx, const Dropout& spec) {
  if (spec.p == 0.0f) return {};
  return {.on = true,
          .purpose = spec.purpose,
          .layer = spec.layer,
          .site = spec.site,
          .threshold = probability_threshold(spec.p),
          .scale = static_cast<float>(1.0 / (1.0 - static_cast<double>(spec.p))),
          .samples = spec.row_samples.data(),
          .rows = spec.row_indices.data(),
          .step = ctx.step};
}

/// The decisions of one row.
class DropoutRow {
 public:
  __device__ DropoutRow(const DropoutPlan& plan, int64_t t)
      : key_(philox_key(plan.step->seed, plan.purpose)),
        epoch_(plan.step->epoch),
        sample_(plan.samples[t]),
        row_(plan.rows[t]),
        plan_(plan) {}

  /// x[i] *= 1 / (1 - p) or 0, for the N columns from `column` on; N is 1, 2 or a multiple of 4,
  /// and column a multiple of N (of 4, if N is).
  template <int N>
  __device__ void apply(int64_t column, float (&x)[N]) const {
    static_assert(N == 1 || N == 2 || N % 4 == 0);
    if constexpr (N == 1) {
      const Philox4 word = draw(column / 4);
      const int lane = static_cast<int>(column % 4);
      const uint32_t bits = lane == 0 ? word.x : lane == 1 ? word.y : lane == 2 ? word.z : word.w;
      x[0] = keep(bits, x[0]);
    } else if constexpr (N == 2) {
      const Philox4 word = draw(column / 4);
      const bool first = column % 4 == 0;
      x[0] = keep(first ? word.x : word.z, x[0]);
      x[1] = keep(first ? word.y : word.w, x[1]);
    } else {
#pragma unroll
      for (int i = 0; i < N; i += 4) {
        const Philox4 word = draw(column / 4 + i / 4);
        x[i] = keep(word.x, x[i]);
        x[i + 1] = keep(word.y, x[i + 1]);
        x[i + 2] = keep(word.z, x[i + 2]);
        x[i + 3] = keep(word.w, x[i + 3]);
      }
    }
  }

 private:
  __device__ Philox4 draw(int64_t quad) const {
    return philox4x32(key_, philox_counter(sample_, epoch_, plan_.layer, plan_.site, row_,
                                           static_cast<uint32_t>(quad)));
  }
  // Rounded product: never part of a fused multiply-add, as on the CPU.
  __device__ float keep(uint32_t bits, float x) const {
    return bits < plan_.threshold ? 0.0f : __fmul_rn(x, plan_.scale);
  }

  PhiloxKey key_;
  uint32_t epoch_, sample_, row_;
  const DropoutPlan& plan_;
};

}  // namespace qe::cuda
