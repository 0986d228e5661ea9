// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// GFLOP/s of gemm and matmul4 on encoder shapes, beside two ceilings: this machine's measured FMA
// rate and, where it was found when configuring, single-thread OpenBLAS (the opponent only: its
// bits depend on threads and shapes, so the engine never calls it). Results are checked before they
// are timed.
//
//   qe_gemm_bench [threads] [seconds per measurement]

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#ifdef QE_BENCH_OPENBLAS
#include <cblas.h>
extern "C" void openblas_set_num_threads(int);
#endif

#include "kernels/cpu/isa.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/lora.h"
#include "kernels/ops/matmul4.h"
#include "tests/bench/fma_peak.h"
#include "tests/support/op_context.h"

namespace qe {
namespace {

using test::Matrix;

double g_seconds = 0.3;
int g_threads = 1;

// Seconds of this thread's own work, so that other load disturbs less; of the wall clock when there
// are more threads.
double now() {
  timespec time;
  clock_gettime(g_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Best time of one call, over as many calls as fit the time.
double best_seconds(const std::function<void()>& body) {
  body();
  double best = 1e30, total = 0.0;
  while (total < g_seconds) {
    const double begin = now();
    body();
    const double taken = now() - begin;
    best = std::min(best, taken);
    total += taken;
  }
  return best;
}

void check_close(const char* what, const Matrix& got, const Matrix& want, int64_t k) {
  for (int64_t i = 0; i < got.rows(); ++i) {
    for (int64_t j = 0; j < got.cols(); ++j) {
      if (std::fabs(got.at(i, j) - want.at(i, j)) <= 1e-6f * static_cast<float>(k)) continue;
      std::printf("%s is wrong at (%ld, %ld): %g, expected %g\n", what, static_cast<long>(i),
                  static_cast<long>(j), static_cast<double>(got.at(i, j)),
                  static_cast<double>(want.at(i, j)));
      std::exit(1);
    }
  }
}

struct Bench {
  ThreadPool threads;
  test::Slab slab{size_t{256} << 20};
  Arena arena{slab.data(), size_t{256} << 20};
  Context ctx{.threads = &threads, .arena = &arena};
  double peak = 0.0;  // GFLOP/s of all threads

  explicit Bench(int n_threads) : threads(n_threads) {}

  void line(const std::string& what, int64_t m, int64_t n, int64_t k, double seconds,
            double opponent) {
    const double gflops = 2e-9 * static_cast<double>(m * n * k) / seconds;
    std::printf("%-22s %5ld x %5ld x %5ld %9.1f us %7.1f GFLOP/s %4.0f %% of peak", what.c_str(),
                static_cast<long>(m), static_cast<long>(n), static_cast<long>(k), seconds * 1e6,
                gflops, 100.0 * gflops / peak);
    if (opponent > 0.0) {
      std::printf(" | OpenBLAS %7.1f, ours is %3.0f %%",
                  2e-9 * static_cast<double>(m * n * k) / opponent, 100.0 * opponent / seconds);
    }
    std::printf("\n");
  }

  double openblas([[maybe_unused]] const Gemm& g, [[maybe_unused]] Matrix& want) {
#ifdef QE_BENCH_OPENBLAS
    const auto call = [&] {
      cblas_sgemm(CblasRowMajor, g.a_transposed ? CblasTrans : CblasNoTrans,
                  g.b_transposed ? CblasTrans : CblasNoTrans, static_cast<int>(g.c.rows),
                  static_cast<int>(g.c.cols),
                  static_cast<int>(g.a_transposed ? g.a.rows : g.a.cols), 1.0f, g.a.f32(),
                  static_cast<int>(g.a.stride), g.b.f32(), static_cast<int>(g.b.stride), 0.0f,
                  want.view().f32(), static_cast<int>(g.c.stride));
    };
    return best_seconds(call);
#else
    return 0.0;
#endif
  }

  void dense(const std::string& what, int64_t m, int64_t n, int64_t k, bool a_transposed,
             bool b_transposed) {
    Matrix a = Matrix::random(a_transposed ? k : m, a_transposed ? m : k, 1);
    Matrix b = Matrix::random(b_transposed ? n : k, b_transposed ? k : n, 2);
    Matrix c(m, n), want(m, n);
    const Gemm g{.a = a.view(),
                 .b = b.view(),
                 .a_transposed = a_transposed,
                 .b_transposed = b_transposed,
                 .c = c.view()};
    const double opponent = openblas(g, want);
    gemm(ctx, g);
    if (opponent > 0.0) check_close(what.c_str(), c, want, k);
    line(what, m, n, k, best_seconds([&] { gemm(ctx, g); }), opponent);
  }

  void four_bit(int64_t m, int64_t n, int64_t k, DType dtype) {
    std::vector<float> w(static_cast<size_t>(n * k));
    test::Random random(7);
    for (float& x : w) x = random.symmetric();
    Quant4Matrix q{.n = n, .k = k, .dtype = dtype};
    std::vector<uint8_t> codes(static_cast<size_t>(q.n_code_bytes()));
    std::vector<uint8_t> scales(static_cast<size_t>(q.n_blocks()));
    std::vector<float> nested(static_cast<size_t>(q.n_nested_blocks()));
    float map[256];
    for (int i = 0; i < 256; ++i) map[i] = dynamic_map_value(i);
    q.codes = codes.data();
    q.absmax_codes = scales.data();
    q.nested_absmax = nested.data();
    q.nested_map = map;
    quantize4(ctx, make_tensor(w.data(), n, k), q);
    dequantize4(ctx, q, make_tensor(w.data(), n, k));
    Matrix x = Matrix::random(m, k, 1), y(m, n), want(m, n), dy = Matrix::random(m, n, 3), dx(m, k);
    matmul4_forward(ctx, x.view(), q, Tensor{}, y.view());
    gemm(ctx, {.a = x.view(), .b = make_tensor(w.data(), n, k), .c = want.view()});
    check_close("matmul4_forward", y, want, 0);
    const std::string tail = std::string(" ") + std::string(dtype_name(dtype));
    line("4-bit forward" + tail, m, n, k,
         best_seconds([&] { matmul4_forward(ctx, x.view(), q, Tensor{}, y.view()); }), 0.0);
    line("4-bit backward" + tail, m, k, n, best_seconds([&] {
           matmul4_backward(ctx, dy.view(), q, dx.view(), GradientMode::kOverwrite);
         }),
         0.0);
  }
};

int run(int argc, char** argv) {
  const int n_threads = g_threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (argc > 2) g_seconds = std::atof(argv[2]);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Bench bench(n_threads);
#ifdef QE_BENCH_OPENBLAS
  openblas_set_num_threads(1);
#endif
  const auto measure = QE_ISA_SELECT(fma_gflops);
  bench.peak = 0.0;
  for (int i = 0; i < 5; ++i) bench.peak = std::max(bench.peak, measure());
  bench.peak *= n_threads;
  std::printf("%s, %d thread(s), FMA peak %.1f GFLOP/s\n",
              std::string(cpu::running_isa_name()).c_str(), n_threads, bench.peak);
  struct Weight {
    int64_t n, k;
  };
  for (const int64_t m : {1024, 16, 1}) {
    for (const Weight w :
         {Weight{256, 256}, {1024, 256}, {256, 1024}, {768, 768}, {3072, 768}, {768, 3072}}) {
      bench.dense("x W^T", m, w.n, w.k, false, true);
      if (m > 1) bench.dense("dy W", m, w.k, w.n, false, false);
    }
  }
  for (const int64_t r : {8, 16, 64}) {
    bench.dense("LoRA x A^T", 1024, r, 768, false, true);
    bench.dense("LoRA t B^T", 1024, 768, r, false, true);
    bench.dense("LoRA dy^T t", 768, r, 1024, true, false);
    bench.dense("LoRA u^T x", r, 768, 1024, true, false);
  }
  for (const int64_t m : {1024, 128, 16, 4, 1}) {
    for (const Weight w : {Weight{768, 768}, {3072, 768}, {768, 3072}}) {
      bench.four_bit(m, w.n, w.k, DType::kF32);
    }
  }
  bench.four_bit(16, 768, 768, DType::kBF16);
  bench.four_bit(16, 768, 768, DType::kF16);
  return 0;
}

}  // namespace
}  // namespace qe

int main(int argc, char** argv) { return qe::run(argc, argv); }
