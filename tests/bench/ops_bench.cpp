// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// What surrounds the linears of an encoder layer: attention in GFLOP/s (4 s^2 d per head and
// sequence forward, 2.5 times that backward), the rest in GB/s of what it must read and write.
// Compare with the FMA peak that qe_gemm_bench prints and with this machine's copy rate.
//
//   qe_ops_bench [threads] [seconds per measurement]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/ops/activation.h"
#include "kernels/ops/adamw.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/dropout.h"
#include "kernels/ops/layernorm.h"
#include "kernels/ops/reduce.h"
#include "tests/support/op_context.h"

namespace qe {
namespace {

using test::Matrix;

constexpr int64_t kTokens = 2048;
constexpr int64_t kHidden = 768;

// Times calls and prints their rates.
class Bench {
 public:
  Bench(int n_threads, double seconds) : threads_(n_threads), seconds_(seconds) {
    for (uint32_t t = 0; t < kTokens; ++t) {
      samples_.push_back(t / 128);
      indices_.push_back(t % 128);
    }
  }

  void attention(int64_t length, float p) {
    const int64_t n_heads = 12;
    const int64_t n = kTokens / length;
    std::vector<int32_t> starts;
    for (int64_t b = 0; b <= n; ++b) starts.push_back(static_cast<int32_t>(b * length));
    const AttentionShape shape{.cu_seqlens = starts,
                               .sample_ids = std::span(samples_).first(static_cast<size_t>(n)),
                               .max_length = length,
                               .n_heads = n_heads,
                               .head_dim = kHidden / n_heads,
                               .scale = 0.125f,
                               .dropout_p = p};
    Matrix qkv = Matrix::random(kTokens, 3 * kHidden, 1);
    Matrix d_out = Matrix::random(kTokens, kHidden, 2);
    Matrix out(kTokens, kHidden), lse(kTokens, n_heads), d_qkv(kTokens, 3 * kHidden);
    const double flops = 4.0 * static_cast<double>(kTokens * length * kHidden);
    const std::string what = "attention " + std::to_string(n) + " x " + std::to_string(length) +
                             (p > 0.0f ? ", dropout" : "");
    report(what + " forward", flops, "GFLOP/s",
           [&] { attention_forward(ctx_, shape, qkv.view(), out.view(), lse.view()); });
    report(what + " backward", 2.5 * flops, "GFLOP/s", [&] {
      attention_backward(ctx_, shape, qkv.view(), out.view(), lse.view(), d_out.view(),
                         d_qkv.view());
    });
  }

  void layernorm(float p) {
    Matrix x = Matrix::random(kTokens, kHidden, 1), residual = Matrix::random(kTokens, kHidden, 2);
    Matrix gamma = Matrix::random(1, kHidden, 3), beta = Matrix::random(1, kHidden, 4);
    Matrix sum(kTokens, kHidden), y(kTokens, kHidden), d_x(kTokens, kHidden);
    const Dropout spec = dropout_spec(p);
    const double bytes = 16.0 * kTokens * kHidden;
    const std::string what = p > 0.0f ? "layernorm, dropout" : "layernorm";
    report(what + " forward", bytes, "GB/s", [&] {
      layernorm_forward(ctx_, {.x = x.view(),
                               .residual = residual.view(),
                               .dropout = spec,
                               .gamma = gamma.view(),
                               .beta = beta.view(),
                               .sum = sum.view(),
                               .y = y.view()});
    });
    report(what + " backward", bytes, "GB/s", [&] {
      layernorm_backward(ctx_, {.sum = sum.view(),
                                .gamma = gamma.view(),
                                .dropout = spec,
                                .dy = residual.view(),
                                .d_residual = y.view(),
                                .d_x = d_x.view()});
    });
  }

  void activation(const std::string& what, Activation f) {
    Matrix x = Matrix::random(kTokens, 4 * kHidden, 1);
    Matrix dy = Matrix::random(kTokens, 4 * kHidden, 2);
    Matrix y(kTokens, 4 * kHidden);
    const double bytes = 16.0 * kTokens * kHidden;
    report(what + " forward", 2 * bytes, "GB/s",
           [&] { activation_forward(ctx_, f, x.view(), y.view()); });
    report(what + " backward", 3 * bytes, "GB/s",
           [&] { activation_backward(ctx_, f, x.view(), dy.view(), y.view()); });
  }

  void elementwise() {
    Matrix x = Matrix::random(kTokens, kHidden, 1), y(kTokens, kHidden);
    report("dropout", 8.0 * kTokens * kHidden, "GB/s",
           [&] { dropout(ctx_, dropout_spec(0.1f), x.view(), y.view()); });
    std::vector<float> p(size_t{4} << 20, 0.5f), g = p, m = p, v = p;
    const double n = static_cast<double>(p.size());
    report("adamw", 28.0 * n, "GB/s", [&] {
      adamw_step(ctx_, {.parameters = p, .gradients = g, .exp_avg = m, .exp_avg_sq = v});
    });
    report("gradient norm", 4.0 * n, "GB/s", [&] { gradient_norm(ctx_, g, 1.0f); });
    report("copy", 8.0 * n, "GB/s", [&] { std::memcpy(m.data(), g.data(), 4 * g.size()); });
  }

 private:
  Dropout dropout_spec(float p) const {
    return {.p = p, .row_samples = samples_, .row_indices = indices_};
  }

  // Of this thread's own work, so that other load disturbs less; of the wall clock when there are
  // more threads.
  double now() const {
    timespec time;
    clock_gettime(threads_.n_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  void report(const std::string& what, double work, const char* unit,
              const std::function<void()>& body) {
    body();
    double best = 1e30;
    for (double total = 0.0; total < seconds_;) {
      const double begin = now();
      body();
      const double taken = now() - begin;
      best = std::min(best, taken);
      total += taken;
    }
    std::printf("%-36s %9.3f ms %7.1f %s\n", what.c_str(), best * 1e3, work / best / 1e9, unit);
  }

  ThreadPool threads_;
  double seconds_;
  test::Slab slab_{size_t{64} << 20};
  Arena arena_{slab_.data(), size_t{64} << 20};
  StepState step_{.learning_rate = 1e-3f};
  Context ctx_{.threads = &threads_, .arena = &arena_, .step = &step_};
  std::vector<uint32_t> samples_, indices_;
};

void run(int argc, char** argv) {
  const int n_threads = argc > 1 ? std::atoi(argv[1]) : 1;
  Bench bench(n_threads, argc > 2 ? std::atof(argv[2]) : 0.3);
  std::printf("%s, %d thread(s), %d tokens\n", std::string(cpu::running_isa_name()).c_str(),
              n_threads, static_cast<int>(kTokens));
  for (const int64_t length : {16, 128, 512}) {
    for (const float p : {0.0f, 0.1f}) bench.attention(length, p);
  }
  for (const float p : {0.0f, 0.1f}) bench.layernorm(p);
  bench.activation("gelu", Activation::kGelu);
  bench.activation("gelu, tanh form", Activation::kGeluTanh);
  bench.activation("silu", Activation::kSilu);
  bench.elementwise();
}

}  // namespace
}  // namespace qe

int main(int argc, char** argv) { qe::run(argc, argv); }
