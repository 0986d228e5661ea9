// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Rates of the CUDA backend's kernels: cuda_ops_bench [name part]. Each op is captured into a graph
// of several launches over rotating operands that do not fit the caches, on random data; the median
// of 9 replays is printed beside the ceiling that a copy or a large product reaches on this GPU.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/core/cuda.h"
#include "kernels/ops/adamw8.h"
#include "kernels/ops/backend.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/lora.h"
#include "kernels/ops/matmul4.h"
#include "kernels/ops/mlm_loss.h"

namespace qe {
namespace {

class Bench {
 public:
  explicit Bench(const char* only) : only_(only), backend_(find_device("cuda", false), false) {
    backend_.attach(ctx_, compute_type("auto", backend_.device(), backend_.limits()));
    StepState* step = static_cast<StepState*>(memory(sizeof(StepState)));
    const StepState state{.learning_rate = 1e-4f, .inverse_labels = 1e-3f};
    cuda::copy(step, &state, sizeof(state), ctx_.stream);
    ctx_.step = step;
    ctx_.log = &log_;
    std::printf("%s, cuBLASLt and kernels in %s\n", backend_name(backend_.device()).c_str(),
                std::string(dtype_name(ctx_.compute)).c_str());
  }
  ~Bench() {
    for (void* piece : owned_) cuda::release(cuda::MemorySpace::kDevice, piece);
  }

  void run() {
    ceilings();
    for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1024, 1024}, {4096, 1024}, {4096, 4096}})
      decode(n, k);
    decode(16384, 4096);
    for (const auto& [n, k] : kShapes) {
      product("product x W^T", 16384, n, k, false);
      product("product dy W", 16384, n, k, true);
    }
    product("head", 2048, 30528, 1024, false);
    for (const auto& [n, k] :
         {std::pair<int64_t, int64_t>{1024, 1024}, {4096, 1024}, {10240, 2560}, {16384, 4096}}) {
      for (const int64_t m : {1, 16, 32, 64}) few(m, n, k);
      product("dense, few tokens", 64, n, k, false);
    }
    for (const auto& [p, q] : {std::pair<int64_t, int64_t>{1024, 64}, {4096, 64}, {1024, 16}})
      outer(16384, p, q);
    lora(16384, 1024, 4096, 64, 0.0f);
    lora(16384, 1024, 4096, 64, 0.1f);
    loss(2458, 30522, 1024, 64);
    loss(2458, 30522, 1024, 1);
    loss(2458, 250002, 1024, 64);
    loss(2458, 250002, 1024, 1);
    adamw8(28300000);
  }

 private:
  static constexpr std::pair<int64_t, int64_t> kShapes[] = {
      {1024, 1024}, {3072, 1024}, {4096, 1024}, {1024, 4096}, {2560, 2560}, {10240, 2560}};

  void* memory(size_t n_bytes) {
    owned_.push_back(cuda::allocate(0, cuda::MemorySpace::kDevice, std::max<size_t>(n_bytes, 256)));
    return owned_.back();
  }
  // Random bytes that are harmless as codes; floats get values of their own.
  void* random_bytes(size_t n) {
    void* to = memory(n);
    std::vector<uint8_t> bytes(std::min<size_t>(n, 1 << 22));
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random_());
    for (size_t at = 0; at < n; at += bytes.size()) {
      cuda::copy(static_cast<char*>(to) + at, bytes.data(), std::min(bytes.size(), n - at),
                 ctx_.stream);
    }
    cuda::synchronize(ctx_.stream);
    return to;
  }
  Tensor random(int64_t rows, int64_t cols, DType dtype) {
    const size_t n = static_cast<size_t>(rows * cols);
    const size_t size = dtype_size(dtype);
    void* to = memory(n * size);
    const size_t period = std::min<size_t>(n, (1 << 20) + 7);
    std::normal_distribution<float> normal;
    std::vector<char> host(period * size);
    for (size_t i = 0; i < period; ++i) {
      const float x = normal(random_);
      if (dtype == DType::kF32) {
        std::memcpy(&host[i * size], &x, 4);
      } else {
        const uint16_t h = dtype == DType::kBF16 ? to_bf16(x) : to_f16(x);
        std::memcpy(&host[i * size], &h, 2);
      }
    }
    for (size_t at = 0; at < n; at += period) {
      cuda::copy(static_cast<char*>(to) + at * size, host.data(), std::min(period, n - at) * size,
                 ctx_.stream);
    }
    cuda::synchronize(ctx_.stream);
    return make_tensor(to, rows, cols, dtype, backend_.device());
  }
  Quant4Matrix quantized(int64_t n, int64_t k) {
    Quant4Matrix q{.n = n, .k = k, .dtype = ctx_.compute};
    q.codes = static_cast<uint8_t*>(random_bytes(static_cast<size_t>(q.n_code_bytes())));
    q.absmax_codes = static_cast<uint8_t*>(random_bytes(static_cast<size_t>(q.n_blocks())));
    q.nested_absmax = random(1, q.n_nested_blocks(), DType::kF32).f32();
    q.nested_map = random(1, 256, DType::kF32).f32();
    return q;
  }

  // Median seconds of body(i) over `n` operand sets.
  double seconds(int n, const std::function<void(Context&, int)>& body) {
    Arena counting;
    ctx_.arena = &counting;
    ctx_.planning = true;
    body(ctx_, 0);
    ctx_.planning = false;
    void* slab = cuda::allocate(0, cuda::MemorySpace::kDevice, counting.high_water() + 256);
    Arena arena(slab, counting.high_water());
    ctx_.arena = &arena;
    for (int i = 0; i < 2 * n; ++i) body(ctx_, i % n);
    const auto stream = static_cast<cudaStream_t>(ctx_.stream);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    const int per_graph = std::max(n, 8);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    for (int i = 0; i < per_graph; ++i) body(ctx_, i % n);
    cudaStreamEndCapture(stream, &graph);
    QE_CHECK(cudaGraphInstantiate(&replay, graph, 0) == cudaSuccess, "no graph");
    std::vector<double> times;
    for (int i = 0; i < 11; ++i) {
      cuda::Event begin(0, true), end(0, true);
      begin.record(ctx_.stream);
      cudaGraphLaunch(replay, stream);
      end.record(ctx_.stream);
      end.wait();
      if (i >= 2) times.push_back(1e-3 * end.milliseconds_since(begin) / per_graph);
    }
    cudaGraphExecDestroy(replay);
    cudaGraphDestroy(graph);
    cuda::release(cuda::MemorySpace::kDevice, slab);
    ctx_.arena = nullptr;
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }
  void report(const std::string& op, const std::string& shape, double taken, double bytes,
              double flops) {
    const double floor = std::max(bytes / copy_rate_, flops / product_rate_);
    std::printf("%-20s %-22s %9.1f us %8.1f GB/s %7.1f TFLOP/s %5.1f %% of the floor\n", op.c_str(),
                shape.c_str(), 1e6 * taken, 1e-9 * bytes / taken, 1e-12 * flops / taken,
                100.0 * floor / taken);
    std::fflush(stdout);
  }
  bool wanted(const std::string& op) const {
    return only_ == nullptr || op.find(only_) != std::string::npos;
  }
  // Frees what a measurement allocated.
  struct Scope {
    Bench& bench;
    size_t n = bench.owned_.size();
    explicit Scope(Bench& b) : bench(b) {}
    ~Scope() {
      for (; bench.owned_.size() > n; bench.owned_.pop_back()) {
        cuda::release(cuda::MemorySpace::kDevice, bench.owned_.back());
      }
    }
  };
  static int sets(double bytes) { return static_cast<int>(std::clamp(200e6 / bytes, 1.0, 64.0)); }

  void ceilings() {
    const Scope scope(*this);
    const size_t n = size_t{1} << 30;
    void* from = random_bytes(n);
    void* to = memory(n);
    const double copy = seconds(1, [&](Context& ctx, int) {
      if (!ctx.planning) cuda::copy(to, from, n, ctx.stream);
    });
    copy_rate_ = 2.0 * static_cast<double>(n) / copy;
    const Tensor a = random(8192, 8192, ctx_.compute), b = random(8192, 8192, ctx_.compute);
    const Tensor c = random(8192, 8192, ctx_.compute);
    const double product =
        seconds(1, [&](Context& ctx, int) { gemm(ctx, {.a = a, .b = b, .c = c}); });
    product_rate_ = 2.0 * 8192.0 * 8192.0 * 8192.0 / product;
    std::printf("ceilings: copy %.0f GB/s, product of 8192^3 %.0f TFLOP/s\n", 1e-9 * copy_rate_,
                1e-12 * product_rate_);
  }
  void decode(int64_t n, int64_t k) {
    if (!wanted("decode")) return;
    const Scope scope(*this);
    const double bytes = static_cast<double>(n * k) * (0.5 + 1.0 / 64 + 2.0);
    const int n_sets = sets(bytes);
    std::vector<Quant4Matrix> q;
    std::vector<Tensor> out;
    for (int i = 0; i < n_sets; ++i) {
      q.push_back(quantized(n, k));
      out.push_back(random(n, k, ctx_.compute));
    }
    const double taken =
        seconds(n_sets, [&](Context& ctx, int i) { dequantize4(ctx, q[i], out[i]); });
    report("decode", cat(n, " x ", k), taken, bytes, 0.0);
  }
  void product(const char* op, int64_t m, int64_t n, int64_t k, bool backward) {
    if (!wanted(op)) return;
    const Scope scope(*this);
    const double bytes = 2.0 * static_cast<double>(n * k + m * k + m * n);
    const int n_sets = sets(bytes);
    std::vector<Tensor> w, x, y;
    for (int i = 0; i < n_sets; ++i) {
      w.push_back(random(n, k, ctx_.compute));
      x.push_back(random(m, k, ctx_.compute));
      y.push_back(random(m, n, ctx_.compute));
    }
    const Tensor bias = random(1, n, ctx_.compute);
    const double taken = seconds(n_sets, [&](Context& ctx, int i) {
      if (backward) {
        gemm(ctx, {.a = y[i], .b = w[i], .b_transposed = false, .c = x[i]});
      } else {
        gemm(ctx, {.a = x[i], .b = w[i], .bias = bias, .c = y[i]});
      }
    });
    report(op, cat(m, " x ", n, " x ", k), taken, bytes, 2.0 * static_cast<double>(m * n * k));
  }
  void few(int64_t m, int64_t n, int64_t k) {
    if (!wanted("4 bit, few tokens")) return;
    const Scope scope(*this);
    const double bytes = static_cast<double>(n * k) * (0.5 + 1.0 / 64);
    const int n_sets = sets(bytes);
    std::vector<Quant4Matrix> q;
    for (int i = 0; i < n_sets; ++i) q.push_back(quantized(n, k));
    const Tensor x = random(m, k, ctx_.compute), y = random(m, n, ctx_.compute);
    const double taken =
        seconds(n_sets, [&](Context& ctx, int i) { matmul4_forward(ctx, x, q[i], {}, y); });
    report("4 bit, few tokens", cat(m, " x ", n, " x ", k), taken, bytes,
           2.0 * static_cast<double>(m * n * k));
  }
  // The gradients of A and B alone: t, x and dy are read, u is not wanted.
  void outer(int64_t t, int64_t n, int64_t r) {
    if (!wanted("LoRA gradient")) return;
    const Scope scope(*this);
    const double bytes = 2.0 * static_cast<double>(t * n + t * r);
    const int n_sets = sets(bytes);
    std::vector<Tensor> dy;
    for (int i = 0; i < n_sets; ++i) dy.push_back(random(t, n, ctx_.compute));
    const Tensor x = random(t, 64, ctx_.compute), down = random(t, r, ctx_.compute);
    const LoraSegment segment{0, t, random(r, 64, ctx_.compute), random(n, r, ctx_.compute), 1.0f};
    const Tensor d_b = random(n, r, DType::kF32);
    const double taken = seconds(n_sets, [&](Context& ctx, int i) {
      lora_backward(ctx, {.x = x, .segment = segment, .t = down, .dy = dy[i], .d_b = d_b});
    });
    report("LoRA gradient", cat(t, " x ", n, " x ", r), taken, bytes,
           2.0 * static_cast<double>(t * n * r));
  }
  void lora(int64_t t, int64_t k, int64_t n, int64_t r, float p) {
    if (!wanted("LoRA")) return;
    const Scope scope(*this);
    const Tensor x = random(t, k, ctx_.compute), y = random(t, n, ctx_.compute);
    const Tensor down = random(t, r, ctx_.compute), d_x = random(t, k, ctx_.compute);
    const LoraSegment segment{0, t, random(r, k, ctx_.compute), random(n, r, ctx_.compute), 1e-3f};
    const Tensor d_a = random(r, k, DType::kF32), d_b = random(n, r, DType::kF32);
    const size_t rows = static_cast<size_t>(t);
    const auto* ids = static_cast<const uint32_t*>(random_bytes(rows * 4));
    std::vector<uint32_t> places(rows);
    for (size_t i = 0; i < rows; ++i) places[i] = static_cast<uint32_t>(i % 512);
    auto* indices = static_cast<uint32_t*>(memory(rows * 4));
    cuda::copy(indices, places.data(), rows * 4, ctx_.stream);
    cuda::synchronize(ctx_.stream);
    const Dropout dropout{.p = p,
                          .purpose = RandomPurpose::kLoraDropout,
                          .row_samples = {ids, rows},
                          .row_indices = {indices, rows}};
    const std::string shape = cat(t, " x ", n, " x ", k, " r ", r, " p ", p);
    const double flops = 2.0 * static_cast<double>(t * r * (n + k));
    double taken = seconds(1, [&](Context& ctx, int) {
      lora_forward(ctx, {.x = x, .dropout = dropout, .segments = {&segment, 1}, .t = down, .y = y});
    });
    report("LoRA forward", shape, taken, 2.0 * static_cast<double>(t * (k + 2 * n)), flops);
    taken = seconds(1, [&](Context& ctx, int) {
      lora_backward(ctx, {.x = x,
                          .dropout = dropout,
                          .segment = segment,
                          .t = down,
                          .dy = y,
                          .d_a = d_a,
                          .d_b = d_b,
                          .d_x = d_x});
    });
    report("LoRA backward", shape, taken, 2.0 * static_cast<double>(t * (3 * k + n)), 2.0 * flops);
  }
  void loss(int64_t m, int64_t vocab, int64_t c, int64_t multiple) {
    if (!wanted("loss")) return;
    const Scope scope(*this);
    const int64_t padded = (vocab + multiple - 1) / multiple * multiple;
    const Tensor hidden = random(m, c, ctx_.compute), d_hidden = random(m, c, ctx_.compute);
    const Tensor decoder = random(padded, c, ctx_.compute), bias = random(1, padded, DType::kF32);
    const size_t rows = static_cast<size_t>(m);
    std::vector<int32_t> host(rows);
    for (size_t i = 0; i < rows; ++i) host[i] = static_cast<int32_t>(i * 37 % 30000);
    auto* labels = static_cast<int32_t*>(memory(rows * 4));
    cuda::copy(labels, host.data(), rows * 4, ctx_.stream);
    auto* totals = static_cast<MlmTotals*>(memory(sizeof(MlmTotals)));
    cuda::zero(totals, sizeof(MlmTotals), ctx_.stream);
    cuda::synchronize(ctx_.stream);
    const auto time = [&](bool gradient) {
      return seconds(1, [&](Context& ctx, int) {
        mlm_loss(ctx, {.hidden = hidden,
                       .decoder = decoder,
                       .bias = bias,
                       .vocab_size = vocab,
                       .labels = {labels, rows},
                       .d_hidden = gradient ? d_hidden : Tensor{},
                       .totals = totals});
      });
    };
    const double flops = 2.0 * static_cast<double>(m * vocab * c);
    const std::string shape = cat(m, " x ", padded, " x ", c);
    report("loss alone", shape, time(false), 0.0, flops);
    report("loss and gradient", shape, time(true), 0.0, 2.0 * flops);
  }
  void adamw8(int64_t n) {
    if (!wanted("adamw8")) return;
    const Scope scope(*this);
    const size_t n_blocks = static_cast<size_t>(n / kAdamw8Block);
    n = static_cast<int64_t>(n_blocks) * kAdamw8Block;
    std::vector<Adamw8Block> host(n_blocks);
    for (size_t b = 0; b < n_blocks; ++b) {
      host[b] = {static_cast<int64_t>(b) * kAdamw8Block, kAdamw8Block};
    }
    auto* blocks = static_cast<Adamw8Block*>(memory(n_blocks * sizeof(Adamw8Block)));
    cuda::copy(blocks, host.data(), n_blocks * sizeof(Adamw8Block), ctx_.stream);
    const size_t count = static_cast<size_t>(n);
    const Adamw8Span span{.parameters = {random(1, n, DType::kF32).f32(), count},
                          .gradients = {random(1, n, DType::kF32).f32(), count},
                          .blocks = {blocks, n_blocks},
                          .exp_avg = {static_cast<uint8_t*>(random_bytes(count)), count},
                          .exp_avg_sq = {static_cast<uint8_t*>(random_bytes(count)), count},
                          .exp_avg_scale = {random(1, n / 256, DType::kF32).f32(), n_blocks},
                          .exp_avg_sq_scale = {random(1, n / 256, DType::kF32).f32(), n_blocks}};
    const double taken = seconds(1, [&](Context& ctx, int) { adamw8_step(ctx, span); });
    report("adamw8", cat(n), taken, static_cast<double>(n) * (12.0 + 4.0 + 32.0 / 256.0), 0.0);
  }

  const Log log_{[](LogLevel, const std::string& line) { std::printf("  %s\n", line.c_str()); }};
  const char* only_;
  Backend backend_;
  Context ctx_;
  std::vector<void*> owned_;
  std::mt19937 random_{1};
  double copy_rate_ = 1.0, product_rate_ = 1.0;
};

}  // namespace
}  // namespace qe

int main(int argc, char** argv) {
  try {
    qe::Bench(argc > 1 ? argv[1] : nullptr).run();
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
  return 0;
}
