// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (simd.h has the rules).

#include "kernels/cpu/ceilings_kernel.h"

#include <time.h>

#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {

double fma_gflops() {
#if defined(QE_ISA_IS_avx512)
  constexpr int kChains = 12;  // hides the latency on two ports
#else
  constexpr int kChains = 6;  // of two or more registers each
#endif
  constexpr int kRounds = (1 << 24) / kChains;
  Vec sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = set(static_cast<float>(i));
  const Vec factor = set(0.999f);
  const Vec term = set(1e-3f);
  timespec begin, end;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = fma(sum[i], factor, term);
  }
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  volatile float keep = 0.0f;
  for (int i = 0; i < kChains; ++i) keep = keep + reduce_add(sum[i]);
  const double seconds = static_cast<double>(end.tv_sec - begin.tv_sec) +
                         1e-9 * static_cast<double>(end.tv_nsec - begin.tv_nsec);
  return 2e-9 * kLanes * kChains * kRounds / seconds;
}

}  // namespace qe::cpu::QE_ISA
