// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/ceilings.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/cpu/ceilings_kernel.h"

namespace qe::cpu {

void measure_gflops(Context& ctx, double* gflops) {
  constexpr int kRounds = 5;
  const auto kernel = QE_ISA_SELECT(fma_gflops);
  const int n_threads = ctx.threads->n_threads();
  std::vector<double> best(n_threads, 0.0);
  for (int round = 0; round < kRounds; ++round) {
    ctx.threads->run(n_threads,
                     [&](int64_t task, int) { best[task] = std::max(best[task], kernel()); });
  }
  *gflops = 0.0;
  for (const double one : best) *gflops += one;
}

void measure_copy_gbytes(Context& ctx, const Tensor& from, const Tensor& to, double* gbytes) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRounds = 7;
  const int n_threads = ctx.threads->n_threads();
  const size_t n_bytes = static_cast<size_t>(from.size()) * dtype_size(from.dtype);
  const size_t share = n_bytes / static_cast<size_t>(n_threads);
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    const Clock::time_point start = Clock::now();
    ctx.threads->run(n_threads, [&](int64_t task, int) {
      const size_t begin = static_cast<size_t>(task) * share;
      std::memcpy(static_cast<char*>(to.data) + begin, static_cast<const char*>(from.data) + begin,
                  share);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const double moved = 2.0 * static_cast<double>(share) * n_threads;
    best = std::max(best, 1e-9 * moved / seconds);
  }
  *gbytes = best;
}

}  // namespace qe::cpu
