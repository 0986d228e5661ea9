// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/bench_ops.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/memory/planning.h"
#include "kernels/ops/activation.h"
#include "kernels/ops/adamw.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/ceilings.h"
#include "kernels/ops/dropout.h"
#include "kernels/ops/layernorm.h"
#include "kernels/ops/matmul4.h"
#include "kernels/ops/reduce.h"
#include "tools/cblas_library.h"

namespace qe::tools {
namespace {

class OpsBench {
 public:
  OpsBench(const EncoderConfig& config, const BenchOpsOptions& options,
           const std::function<void(const OpRate&)>& on_rate)
      : config_(config), options_(options), on_rate_(on_rate), threads_(options.threads) {
    for (int64_t t = 0; t < options.tokens; ++t) {
      samples_.push_back(static_cast<uint32_t>(t / options.length));
      indices_.push_back(static_cast<uint32_t>(t % options.length));
    }
    if (!options.blas.empty()) blas_.emplace(options.blas);
  }

  const Ceilings& find_ceilings() { return ceilings_ = measure_ceilings(ctx_); }
  std::string blas_name() const { return blas_ ? blas_->name() : ""; }

  void run() {
    const int64_t c = config_.hidden_size;
    const int64_t f = config_.ffn_size;
    for (const int64_t m : {options_.tokens, int64_t{16}, int64_t{1}}) {
      four_bit(m, c, c);
      four_bit(m, f, c);
      four_bit(m, c, f);
    }
    for (const int64_t m : {options_.tokens, int64_t{16}, int64_t{1}}) {
      dense("dense x W^T", m, c, c, false, true);
      dense("dense x W^T", m, f, c, false, true);
      dense("dense x W^T", m, c, f, false, true);
      dense("dense dy W", m, c, f, false, false);
    }
    const int64_t r = options_.lora_r;
    const int64_t t = options_.tokens;
    dense("LoRA x A^T", t, r, c, false, true);
    dense("LoRA t B^T", t, c, r, false, true);
    dense("LoRA dy^T t", c, r, t, true, false);
    dense("LoRA u^T x", r, c, t, true, false);
    attention(config_.attention_dropout);
    layernorm(config_.attention_output_dropout);
    activation();
    elementwise();
  }

 private:
  double now() const {
    timespec time;
    // A single thread's own time, so that other load disturbs less.
    clock_gettime(threads_.n_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  double seconds_of(const std::function<void()>& body) const {
    const double begin = now();
    body();
    return now() - begin;
  }

  // Runs `body(context)` over planned scratch as long as the options say, in turns with `opponent`
  // where there is one; the best of both goes into `rate`.
  void measure(OpRate& rate, const std::function<void(Context&)>& body,
               const std::function<void()>& opponent = nullptr) {
    const size_t n_bytes = planned_arena_bytes(ctx_, body);
    Memory memory(false);
    Arena arena(memory.allocate("scratch", n_bytes), n_bytes);
    ctx_.arena = &arena;
    const auto ours = [&] { body(ctx_); };
    ours();
    if (opponent) opponent();
    rate.seconds = rate.opponent_seconds = 1e30;
    for (double total = 0.0; total < options_.seconds;) {
      const double taken = seconds_of(ours);
      rate.seconds = std::min(rate.seconds, taken);
      total += taken;
      if (opponent) rate.opponent_seconds = std::min(rate.opponent_seconds, seconds_of(opponent));
    }
    if (!opponent) rate.opponent_seconds = 0.0;
    rate.ceiling = 1e9 * (rate.is_flops ? ceilings_.gflops : ceilings_.copy_gbytes);
    ctx_.arena = nullptr;
    on_rate_(rate);
  }

  void measure_product(const std::string& op, int64_t m, int64_t n, int64_t k,
                       const std::function<void(Context&)>& body,
                       const std::function<void()>& opponent = nullptr) {
    OpRate rate{.op = op,
                .shape = cat(m, " x ", n, " x ", k),
                .work = 2.0 * static_cast<double>(m * n * k),
                .is_flops = true};
    measure(rate, body, opponent);
  }
  void measure_stream(const std::string& op, const std::string& shape, double bytes,
                      const std::function<void(Context&)>& body) {
    OpRate rate{.op = op, .shape = shape, .work = bytes};
    measure(rate, body);
  }

  static Tensor matrix(Memory& memory, int64_t rows, int64_t cols) {
    return make_tensor(memory.allocate_array<float>("", rows * cols), rows, cols);
  }
  // Uniform in [-1, 1), the same every time.
  static Tensor random(Memory& memory, int64_t rows, int64_t cols) {
    const Tensor t = matrix(memory, rows, cols);
    uint32_t state = 1;
    for (int64_t i = 0; i < t.size(); ++i) {
      state = state * 1664525u + 1013904223u;
      t.f32()[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    }
    return t;
  }

  void check_same(const std::string& op, const Tensor& ours, const Tensor& theirs, int64_t k) {
    for (int64_t i = 0; i < ours.size(); ++i) {
      const float difference = std::fabs(ours.f32()[i] - theirs.f32()[i]);
      QE_CHECK(difference <= 1e-6f * static_cast<float>(k), op, ": element ", i, " is ",
               ours.f32()[i], ", the BLAS library's is ", theirs.f32()[i]);
    }
  }

  void dense(const std::string& op, int64_t m, int64_t n, int64_t k, bool a_transposed,
             bool b_transposed) {
    Memory memory(false);
    Gemm product{.a = a_transposed ? random(memory, k, m) : random(memory, m, k),
                 .b = b_transposed ? random(memory, n, k) : random(memory, k, n),
                 .a_transposed = a_transposed,
                 .b_transposed = b_transposed,
                 .c = matrix(memory, m, n)};
    const auto body = [&](Context& ctx) { gemm(ctx, product); };
    if (!blas_) return measure_product(op, m, n, k, body);
    Gemm theirs = product;
    theirs.c = matrix(memory, m, n);
    measure_product(op, m, n, k, body, [&] { blas_->sgemm(theirs); });
    check_same(op, product.c, theirs.c, k);
  }

  void four_bit(int64_t m, int64_t n, int64_t k) {
    Memory memory(false);
    Quant4Matrix q{.n = n, .k = k};
    q.codes = memory.allocate_array<uint8_t>("", q.n_code_bytes());
    q.absmax_codes = memory.allocate_array<uint8_t>("", q.n_blocks());
    q.nested_absmax = memory.allocate_array<float>("", q.n_nested_blocks());
    float* const map = memory.allocate_array<float>("", 256);
    for (int i = 0; i < 256; ++i) map[i] = dynamic_map_value(i);
    q.nested_map = map;
    const Tensor w = random(memory, n, k);
    if (m == options_.tokens) {
      measure_stream("quantize", cat(n, " x ", k), 4.516 * static_cast<double>(n * k),
                     [&](Context& ctx) { quantize4(ctx, w, q); });
    }
    const Tensor x = random(memory, m, k), dy = random(memory, m, n);
    const Tensor y = matrix(memory, m, n), dx = matrix(memory, m, k);
    measure_product("4-bit forward", m, n, k,
                    [&](Context& ctx) { matmul4_forward(ctx, x, q, Tensor{}, y); });
    measure_product("4-bit backward", m, k, n, [&](Context& ctx) {
      matmul4_backward(ctx, dy, q, dx, GradientMode::kOverwrite);
    });
  }

  void attention(float p) {
    const int64_t n = options_.tokens / options_.length;
    const int64_t tokens = n * options_.length;
    const int64_t c = config_.hidden_size;
    std::vector<int32_t> starts;
    for (int64_t b = 0; b <= n; ++b) starts.push_back(static_cast<int32_t>(b * options_.length));
    const AttentionShape shape{.cu_seqlens = starts,
                               .sample_ids = std::span(samples_).first(static_cast<size_t>(n)),
                               .max_length = options_.length,
                               .n_heads = config_.n_heads,
                               .head_dim = config_.head_dim,
                               .scale = 0.125f,
                               .dropout_p = p};
    Memory memory(false);
    const Tensor qkv = random(memory, tokens, 3 * c), d_out = random(memory, tokens, c);
    const Tensor out = matrix(memory, tokens, c), lse = matrix(memory, tokens, config_.n_heads);
    const Tensor d_qkv = matrix(memory, tokens, 3 * c);
    OpRate rate{.op = "attention forward",
                .shape = cat(n, " x ", options_.length, " x ", c),
                .work = 4.0 * static_cast<double>(tokens * options_.length * c),
                .is_flops = true};
    measure(rate, [&](Context& ctx) { attention_forward(ctx, shape, qkv, out, lse); });
    rate.op = "attention backward";
    rate.work *= 2.5;
    measure(rate,
            [&](Context& ctx) { attention_backward(ctx, shape, qkv, out, lse, d_out, d_qkv); });
  }

  void layernorm(float p) {
    const int64_t t = options_.tokens;
    const int64_t c = config_.hidden_size;
    Memory memory(false);
    const Tensor x = random(memory, t, c), residual = random(memory, t, c);
    const Tensor gamma = random(memory, 1, c), beta = random(memory, 1, c);
    const Tensor sum = matrix(memory, t, c), y = matrix(memory, t, c), d_x = matrix(memory, t, c);
    const double bytes = 16.0 * static_cast<double>(t * c);
    const std::string shape = cat(t, " x ", c);
    measure_stream("dropout + LayerNorm forward", shape, bytes, [&](Context& ctx) {
      layernorm_forward(ctx, {.x = x,
                              .residual = residual,
                              .dropout = dropout_spec(p),
                              .gamma = gamma,
                              .beta = beta,
                              .sum = sum,
                              .y = y});
    });
    measure_stream("dropout + LayerNorm backward", shape, bytes, [&](Context& ctx) {
      layernorm_backward(ctx, {.sum = sum,
                               .gamma = gamma,
                               .dropout = dropout_spec(p),
                               .dy = residual,
                               .d_residual = y,
                               .d_x = d_x});
    });
  }

  void activation() {
    const int64_t t = options_.tokens;
    const int64_t f = config_.ffn_size;
    Memory memory(false);
    const Tensor x = random(memory, t, f), dy = random(memory, t, f), y = matrix(memory, t, f);
    const double bytes = 4.0 * static_cast<double>(t * f);
    const std::string shape = cat(t, " x ", f);
    measure_stream("GELU forward", shape, 2 * bytes,
                   [&](Context& ctx) { activation_forward(ctx, Activation::kGelu, x, y); });
    measure_stream("GELU backward", shape, 3 * bytes,
                   [&](Context& ctx) { activation_backward(ctx, Activation::kGelu, x, dy, y); });
  }

  void elementwise() {
    const int64_t t = options_.tokens;
    const int64_t c = config_.hidden_size;
    Memory memory(false);
    const Tensor x = random(memory, t, c), y = matrix(memory, t, c);
    measure_stream("dropout", cat(t, " x ", c), 8.0 * static_cast<double>(t * c),
                   [&](Context& ctx) { dropout(ctx, dropout_spec(0.1f), x, y); });
    std::vector<float> p(size_t{4} << 20, 0.5f), g = p, m = p, v = p;
    const double n = static_cast<double>(p.size());
    measure_stream("AdamW", cat(p.size()), 28.0 * n, [&](Context& ctx) {
      adamw_step(ctx, {.parameters = p, .gradients = g, .exp_avg = m, .exp_avg_sq = v});
    });
    measure_stream("gradient norm", cat(p.size()), 4.0 * n,
                   [&](Context& ctx) { gradient_norm(ctx, g, 1.0f); });
  }

  Dropout dropout_spec(float p) const {
    return {.p = p, .row_samples = samples_, .row_indices = indices_};
  }

  const EncoderConfig& config_;
  const BenchOpsOptions& options_;
  const std::function<void(const OpRate&)>& on_rate_;
  std::optional<CblasLibrary> blas_;
  Ceilings ceilings_;
  ThreadPool threads_;
  StepState step_{.learning_rate = 1e-3f};
  Context ctx_{.threads = &threads_, .step = &step_};
  std::vector<uint32_t> samples_, indices_;
};

}  // namespace

Ceilings measure_ceilings(Context& ctx) {
  constexpr int64_t kColumns = 1 << 20;
  const int64_t rows =
      ctx.device.kind == DeviceKind::kCpu ? 16 * ctx.threads->n_threads() : 256;  // 1 GiB
  Memory memory(ctx);
  const auto matrix = [&] {
    return make_tensor(memory.allocate_array<float>("copy", rows * kColumns), rows, kColumns,
                       DType::kF32, ctx.device);
  };
  const Tensor from = matrix(), to = matrix();
  return {measure_gflops(ctx), measure_copy_gbytes(ctx, from, to)};
}

void bench_ops(const EncoderConfig& config, const BenchOpsOptions& options,
               const std::function<void(const Ceilings&, const std::string& blas)>& on_start,
               const std::function<void(const OpRate&)>& on_rate) {
  OpsBench bench(config, options, on_rate);
  on_start(bench.find_ceilings(), bench.blas_name());
  bench.run();
}

}  // namespace qe::tools
