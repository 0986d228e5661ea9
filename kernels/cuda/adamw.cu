// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// AdamW on flat fp32 buffers. 28 bytes move per element and nothing else counts: one thread for
// four elements, 16-byte accesses. What is the same for all elements comes from StepState on the
// device, in fp64, once per block.
#include "kernels/cuda/adamw.cuh"
#include "kernels/cuda/adamw.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = 256;

template <int N>
__global__ void adamw_kernel(AdamwHyperparameters settings, const StepState* step, int64_t n,
                             float* p, const float* g, float* m, float* v) {
  if (step->finite == 0) return;
  __shared__ AdamwCoefficients shared;
  if (threadIdx.x == 0) shared = adamw_coefficients(settings, *step);
  __syncthreads();
  const AdamwCoefficients c = shared;
  const int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (i >= n) return;
  float ps[N], gs[N], ms[N], vs[N];
  load_pack(p + i, ps);
  load_pack(g + i, gs);
  load_pack(m + i, ms);
  load_pack(v + i, vs);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float gradient = gs[k] * c.gradient_scale;
    ms[k] = fmaf(c.beta1, ms[k], c.one_minus_beta1 * gradient);
    vs[k] = fmaf(c.beta2, vs[k], c.one_minus_beta2 * gradient * gradient);
    const float denominator = fmaf(sqrtf(vs[k]), c.root_scale, c.epsilon);
    ps[k] = fmaf(-c.step_size, ms[k] / denominator, ps[k] * c.before) * c.after;
  }
  store_pack(m + i, ms);
  store_pack(v + i, vs);
  store_pack(p + i, ps);
}

template <int N>
void run(Context& ctx, const AdamwSpan& args, int64_t begin, int64_t n) {
  launch(ctx, "adamw_kernel", adamw_kernel<N>,
         dim3(static_cast<unsigned>(ceil_div(n, int64_t{kThreads} * N))), dim3(kThreads), 0,
         args.hyperparameters, ctx.step, n, args.parameters.data() + begin,
         args.gradients.data() + begin, args.exp_avg.data() + begin,
         args.exp_avg_sq.data() + begin);
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

void adamw_step(Context& ctx, const AdamwSpan& args) {
  const int64_t n = static_cast<int64_t>(args.parameters.size());
  const bool packs = aligned(args.parameters.data()) && aligned(args.gradients.data()) &&
                     aligned(args.exp_avg.data()) && aligned(args.exp_avg_sq.data());
  const int64_t whole = packs ? n / 4 * 4 : 0;
  run<4>(ctx, args, 0, whole);
  run<1>(ctx, args, whole, n - whole);
}

}  // namespace qe::cuda
