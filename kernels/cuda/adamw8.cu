// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// AdamW with 8-bit moments (Dettmers et al. 2022, arXiv:2110.02861): one thread for each value of a
// block of 256, so that the two new scales are block-wide maxima. 16 bytes move per value (12 of
// the fp32 parameter and gradient, 4 of codes), all of them coalesced. Codes are found by binary
// search among the 255 thresholds, in shared memory; the scales of a block are read by all threads
// before one of them writes the new ones.
#include "kernels/core/quant_codebook.h"
#include "kernels/cuda/adamw.cuh"
#include "kernels/cuda/adamw8.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = static_cast<int>(kAdamw8Block);
constexpr int kBlocksPerLaunchBlock = 16;  // shares the tables

__device__ uint32_t code_of(const float* thresholds, float x) {
  uint32_t n = 0;
  for (uint32_t step = 128; step > 0; step /= 2) {
    n += thresholds[n + step - 1] < x ? step : 0;
  }
  return n;
}

// The maps in the device's memory.
__constant__ DynamicMap kMaps[2] = {make_signed_dynamic_map(), make_unsigned_dynamic_map()};

struct Moments8 {
  float* p;
  const float* g;
  const Adamw8Block* blocks;
  int64_t n_blocks;
  uint8_t* m;
  uint8_t* v;
  float* m_scale;
  float* v_scale;
};

__global__ void __launch_bounds__(kThreads)
    adamw8_kernel(AdamwHyperparameters settings, const StepState* step, Moments8 a) {
  if (step->finite == 0) return;
  __shared__ AdamwCoefficients shared;
  __shared__ DynamicMap m_map, v_map;
  __shared__ float lanes[kWarp];
  const int i = static_cast<int>(threadIdx.x);
  if (i == 0) shared = adamw_coefficients(settings, *step);
  m_map.value[i] = kMaps[0].value[i];
  v_map.value[i] = kMaps[1].value[i];
  if (i < 255) {
    m_map.threshold[i] = kMaps[0].threshold[i];
    v_map.threshold[i] = kMaps[1].threshold[i];
  }
  __syncthreads();
  const AdamwCoefficients c = shared;
  for (int k = 0; k < kBlocksPerLaunchBlock; ++k) {
    const int64_t b = int64_t{blockIdx.x} * kBlocksPerLaunchBlock + k;
    if (b >= a.n_blocks) return;
    const Adamw8Block block = a.blocks[b];
    const bool inside = i < block.count;
    const int64_t at = b * kAdamw8Block + i;
    float m = 0.0f, v = 0.0f;
    if (inside) {
      const float raw = a.g[block.begin + i];
      if (isfinite(raw)) {
        const float g = raw * c.gradient_scale;
        m = fmaf(c.beta1, __fmul_rn(m_map.value[a.m[at]], a.m_scale[b]), c.one_minus_beta1 * g);
        v = fmaf(c.beta2, __fmul_rn(v_map.value[a.v[at]], a.v_scale[b]), c.one_minus_beta2 * g * g);
        const float denominator = fmaf(sqrtf(v), c.root_scale, c.epsilon);
        float& p = a.p[block.begin + i];
        p = fmaf(-c.step_size, m / denominator, p * c.before) * c.after;
      }
    }
    // The barriers inside are also between all reads of the old scales and the writes below.
    const float m_scale = block_reduce(fabsf(m), Maximum{}, 0.0f, lanes);
    const float v_scale = block_reduce(v, Maximum{}, 0.0f, lanes);
    if (i == 0) {
      a.m_scale[b] = m_scale;
      a.v_scale[b] = v_scale;
    }
    if (!inside) continue;
    const float m_part = m_scale == 0.0f ? 0.0f : m / m_scale;
    const uint32_t code = code_of(m_map.threshold, m_part);
    // A step downhill stays one: below 0 there is no rounding to 0 (code 127).
    a.m[at] = static_cast<uint8_t>(m_part < 0.0f && code > 126 ? 126 : code);
    a.v[at] = static_cast<uint8_t>(code_of(v_map.threshold, v_scale == 0.0f ? 0.0f : v / v_scale));
  }
}

}  // namespace

void adamw8_step(Context& ctx, const Adamw8Span& args) {
  const Moments8 moments{.p = args.parameters.data(),
                         .g = args.gradients.data(),
                         .blocks = args.blocks.data(),
                         .n_blocks = static_cast<int64_t>(args.blocks.size()),
                         .m = args.exp_avg.data(),
                         .v = args.exp_avg_sq.data(),
                         .m_scale = args.exp_avg_scale.data(),
                         .v_scale = args.exp_avg_sq_scale.data()};
  launch(ctx, "adamw8_kernel", adamw8_kernel,
         dim3(static_cast<unsigned>(ceil_div(moments.n_blocks, kBlocksPerLaunchBlock))),
         dim3(kThreads), 0, args.hyperparameters, ctx.step, moments);
}

}  // namespace qe::cuda
