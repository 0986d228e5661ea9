// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A context to run ops in, and matrices that notice what ops do wrong: every Matrix starts as NaN,
// has NaN between its rows when strided, and guard bands around.

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe::test {

/// Memory for an arena slab.
class Slab {
 public:
  explicit Slab(size_t n_bytes)
      : data_(std::aligned_alloc(Arena::kAlignment, (n_bytes + 63) / 64 * 64 + 64)) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Slab() { std::free(data_); }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
};

/// Runs `body` twice, as the engine does: planning over a counting arena, then over a slab of
/// exactly the planned size. So a test also fails when an op takes other scratch than it planned.
inline void run_planned(int n_threads, StepState step, const std::function<void(Context&)>& body) {
  ThreadPool threads(n_threads);
  Arena counting;
  Context ctx{.threads = &threads, .arena = &counting, .step = &step, .planning = true};
  body(ctx);
  const Slab slab(counting.high_water());
  Arena arena(slab.data(), counting.high_water());
  ctx.arena = &arena;
  ctx.planning = false;
  body(ctx);
}
inline void run_planned(int n_threads, const std::function<void(Context&)>& body) {
  run_planned(n_threads, StepState{}, body);
}

/// splitmix64 as uniform floats: the same on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  /// Uniform in [-1, 1).
  float symmetric() { return static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f; }

 private:
  uint64_t state_;
};

/// An owning fp32 matrix with guard bands, filled with NaN.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t cols, int64_t stride = 0)
      : rows_(rows), cols_(cols), stride_(stride == 0 ? cols : stride) {
    const size_t n = static_cast<size_t>(rows_ * stride_ + 2 * kGuard);
    Line poison;
    for (float& x : poison.element) x = std::bit_cast<float>(kPoison);
    buffer_.assign((n + kLine - 1) / kLine, poison);
  }
  static Matrix random(int64_t rows, int64_t cols, uint64_t seed, int64_t stride = 0) {
    Matrix m(rows, cols, stride);
    Random random(seed);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) m.at(i, j) = random.symmetric();
    }
    return m;
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  float& at(int64_t i, int64_t j) { return element(kGuard + i * stride_ + j); }
  float at(int64_t i, int64_t j) const {
    return const_cast<Matrix*>(this)->element(kGuard + i * stride_ + j);
  }
  Tensor view() {
    Tensor t = make_tensor(&element(kGuard), rows_, cols_);
    t.stride = stride_;
    return t;
  }
  /// Whether everything outside the matrix is as it was made.
  bool guards_intact() const {
    const int64_t n = static_cast<int64_t>(buffer_.size() * kLine);
    for (int64_t at = 0; at < n; ++at) {
      const int64_t inside = at - kGuard;
      const bool element = inside >= 0 && inside < rows_ * stride_ && inside % stride_ < cols_;
      const float value = buffer_[static_cast<size_t>(at) / kLine].element[at % kLine];
      if (!element && std::bit_cast<uint32_t>(value) != kPoison) return false;
    }
    return true;
  }
  /// Bits of all elements, row by row.
  std::vector<uint32_t> bits() const {
    std::vector<uint32_t> out;
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) out.push_back(std::bit_cast<uint32_t>(at(i, j)));
    }
    return out;
  }

 private:
  static constexpr size_t kLine = 16;
  struct alignas(64) Line {  // aligned as the arena's pieces are
    float element[kLine];
  };
  float& element(int64_t at) {
    return buffer_[static_cast<size_t>(at) / kLine].element[static_cast<size_t>(at) % kLine];
  }
  static constexpr int64_t kGuard = 32;
  static constexpr uint32_t kPoison = 0x7fc0dead;  // a NaN
  int64_t rows_, cols_, stride_;
  std::vector<Line> buffer_;
};

}  // namespace qe::test
