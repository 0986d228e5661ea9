// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Timing one op at a time, on either device. On a GPU a measurement is a graph of launches between
// two events, over sets of operands that take turns and together do not fit the caches; on the CPU
// a call, over one set.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/backend.h"
#include "kernels/ops/quant4.h"

namespace qe::tools {

struct OpTimerOptions {
  std::string device = "auto";         ///< run_config's
  std::string compute_dtype = "auto";  ///< run_config's
  int threads = 1;                     ///< on the CPU; 0 = all
  double seconds = 0.2;                ///< per measurement, about
};

/// Seconds of one run of an op.
struct OpTime {
  double typical = 0;  ///< CPU: the best; GPU: the median of 20 and more
  double lowest = 0, highest = 0;
  double opponent = 0;  ///< the best of another's; 0: there was none
};

/// Random operands in the device's memory.
class Operands {
 public:
  explicit Operands(const Context& ctx) : ctx_(ctx), memory_(std::make_unique<Memory>(ctx)) {}

  /// rows x cols elements of `dtype`: zeros, or uniform in [-1, 1).
  Tensor matrix(int64_t rows, int64_t cols, DType dtype);
  Tensor random(int64_t rows, int64_t cols, DType dtype);
  /// Both of the compute type.
  Tensor matrix(int64_t rows, int64_t cols) { return matrix(rows, cols, ctx_.compute); }
  Tensor random(int64_t rows, int64_t cols) { return random(rows, cols, ctx_.compute); }
  /// n fp32 values.
  std::span<float> floats(int64_t n) { return {random(1, n, DType::kF32).f32(), size_t(n)}; }
  /// n random bytes: codes of any kind.
  std::span<uint8_t> bytes(int64_t n);
  /// A copy of a host list.
  template <class T>
  std::span<T> list(const std::vector<T>& host) {
    T* const to = memory_->allocate_array<T>("list", static_cast<int64_t>(host.size()));
    write(to, host.data(), host.size() * sizeof(T));
    return {to, host.size()};
  }
  /// NF4 with double quantization.
  Quant4Matrix quantized(int64_t n, int64_t k);

 private:
  void write(void* to, const void* from, size_t n_bytes);

  Context ctx_;
  std::unique_ptr<Memory> memory_;
  uint64_t next_stream_ = 1;
};

class OpTimer {
 public:
  explicit OpTimer(const OpTimerOptions& options);

  Context& context() { return ctx_; }
  bool on_gpu() const { return ctx_.device.kind == DeviceKind::kCuda; }
  /// Sets of operands of `n_bytes` each that a measurement should take turns with.
  int64_t n_sets(double n_bytes) const;

  /// body(context, i) runs the op over set i of n_sets. `opponent` runs in turns with it (CPU).
  /// waits: the op waits for the device, so that it cannot be part of a graph.
  using Body = std::function<void(Context&, int64_t)>;
  OpTime time(int64_t n_sets, const Body& body, const std::function<void()>& opponent = nullptr,
              bool waits = false);

 private:
  double now() const;
  OpTime time_on_cpu(const std::function<void()>& ours, const std::function<void()>& opponent);
  OpTime time_on_gpu(int64_t n_sets, const Body& body, bool waits);

  OpTimerOptions options_;
  ThreadPool threads_;
  Backend backend_;
  Context ctx_;
  Memory memory_;
};

}  // namespace qe::tools
