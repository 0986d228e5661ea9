// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/op_timer.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/memory/planning.h"
#include "kernels/core/quant_codebook.h"
#include "kernels/ops/random.h"
#include "kernels/ops/transfer.h"

namespace qe::tools {
namespace {

constexpr double kColdBytes = 200e6;  // more than twice the 50 or 60 MB of an H100's or H200's L2
constexpr int64_t kMaxSets = 64;
constexpr int kWarmups = 3;
constexpr size_t kMinRuns = 20;
constexpr double kGraphSeconds = 1e-3;  // of a graph, at least: an event's own time is nothing then
constexpr int64_t kMaxLaunches = 512;

}  // namespace

void Operands::write(void* to, const void* from, size_t n_bytes) {
  copy_bytes(ctx_, to, from, n_bytes);
  synchronize(ctx_);
}

Tensor Operands::matrix(int64_t rows, int64_t cols, DType dtype) {
  const size_t n_bytes = static_cast<size_t>(rows * cols) * dtype_size(dtype);
  return make_tensor(memory_->allocate("matrix", n_bytes), rows, cols, dtype, ctx_.device);
}

Tensor Operands::random(int64_t rows, int64_t cols, DType dtype) {
  const Tensor t = matrix(rows, cols, dtype);
  random_uniform(ctx_, next_stream_++, 1.0f, t);
  synchronize(ctx_);
  return t;
}

std::span<uint8_t> Operands::bytes(int64_t n) {
  const std::span<uint8_t> out{memory_->allocate_array<uint8_t>("bytes", n),
                               static_cast<size_t>(n)};
  random_bytes(ctx_, next_stream_++, out);
  synchronize(ctx_);
  return out;
}

Quant4Matrix Operands::quantized(int64_t n, int64_t k) {
  Quant4Matrix q{.n = n, .k = k, .dtype = ctx_.compute};
  q.codes = bytes(q.n_code_bytes()).data();
  q.absmax_codes = bytes(q.n_blocks()).data();
  q.nested_absmax = floats(q.n_nested_blocks()).data();
  std::vector<float> map(256);
  for (int i = 0; i < 256; ++i) map[i] = dynamic_map_value(i);
  q.nested_map = list(map).data();
  return q;
}

OpTimer::OpTimer(const OpTimerOptions& options)
    : options_(options),
      threads_(options.threads),
      backend_(find_device(options.device, false), false),
      ctx_([&] {
        Context ctx{.threads = &threads_};
        backend_.attach(ctx,
                        compute_type(options.compute_dtype, backend_.device(), backend_.limits()));
        return ctx;
      }()),
      memory_(ctx_) {
  ctx_.step = memory_.allocate_array<StepState>("step state", 1);
  const StepState step{.learning_rate = 1e-3f, .inverse_labels = 1e-3f};
  copy_bytes(ctx_, ctx_.step, &step, sizeof(step));
  synchronize(ctx_);
}

int64_t OpTimer::n_sets(double n_bytes) const {
  if (!on_gpu()) return 1;
  return std::clamp(static_cast<int64_t>(std::ceil(kColdBytes / n_bytes)), int64_t{1}, kMaxSets);
}

double OpTimer::now() const {
  timespec time;
  // A single thread's own time, so that other load disturbs less.
  clock_gettime(threads_.n_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

OpTime OpTimer::time(int64_t n_sets, const Body& body, const std::function<void()>& opponent,
                     bool waits) {
  const size_t n_bytes = planned_arena_bytes(ctx_, [&](Context& ctx) { body(ctx, 0); });
  Memory memory(ctx_);
  Arena arena(memory.allocate("scratch", n_bytes), n_bytes);
  ctx_.arena = &arena;
  const OpTime time =
      on_gpu() ? time_on_gpu(n_sets, body, waits) : time_on_cpu([&] { body(ctx_, 0); }, opponent);
  ctx_.arena = nullptr;
  return time;
}

OpTime OpTimer::time_on_cpu(const std::function<void()>& ours,
                            const std::function<void()>& opponent) {
  const auto seconds_of = [&](const std::function<void()>& run) {
    const double begin = now();
    run();
    return now() - begin;
  };
  ours();
  if (opponent) opponent();
  OpTime time{.lowest = 1e30, .highest = 0, .opponent = 1e30};
  for (double total = 0.0; total < options_.seconds;) {
    const double taken = seconds_of(ours);
    time.lowest = std::min(time.lowest, taken);
    time.highest = std::max(time.highest, taken);
    total += taken;
    if (opponent) time.opponent = std::min(time.opponent, seconds_of(opponent));
  }
  if (!opponent) time.opponent = 0.0;
  time.typical = time.lowest;
  return time;
}

OpTime OpTimer::time_on_gpu(int64_t n_sets, const Body& body, bool waits) {
  cuda::Event begin(ctx_.device.index, true), end(ctx_.device.index, true);
  const auto seconds_of = [&](const auto& run) {
    begin.record(ctx_.stream);
    run();
    end.record(ctx_.stream);
    end.wait();
    return 1e-3 * end.milliseconds_since(begin);
  };
  const auto all_sets = [&](int64_t n) {
    for (int64_t i = 0; i < n; ++i) body(ctx_, i % n_sets);
  };
  double once = 0.0;
  for (int i = 0; i < kWarmups; ++i) {
    once = seconds_of([&] { all_sets(n_sets); }) / static_cast<double>(n_sets);
  }
  const auto wanted = static_cast<int64_t>(std::ceil(kGraphSeconds / std::max(once, 1e-7)));
  const int64_t turns = std::clamp(wanted, n_sets, std::max(n_sets, kMaxLaunches));
  std::optional<cuda::Graph> graph;
  if (!waits) graph.emplace(ctx_.stream, [&] { all_sets(turns); });
  const auto run = [&] {
    if (graph) {
      graph->launch(ctx_.stream);
    } else {
      all_sets(turns);
    }
  };
  run();
  std::vector<double> seconds;
  for (double total = 0.0; total < options_.seconds || seconds.size() < kMinRuns;) {
    const double taken = seconds_of(run);
    total += taken;
    seconds.push_back(taken / static_cast<double>(turns));
  }
  std::sort(seconds.begin(), seconds.end());
  return {
      .typical = seconds[seconds.size() / 2], .lowest = seconds.front(), .highest = seconds.back()};
}

}  // namespace qe::tools
