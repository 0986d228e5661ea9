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
#include "tests/support/device.h"

namespace qe::test {

/// Memory for an arena slab, on the tests' device.
class Slab {
 public:
  explicit Slab(size_t n_bytes) {
    if (on_gpu()) {
      device_ = DeviceMemory(n_bytes);
    } else {
      host_.reset(std::aligned_alloc(Arena::kAlignment, (n_bytes + 63) / 64 * 64 + 64));
      if (!host_) throw std::bad_alloc();
    }
  }
  void* data() const { return host_ ? host_.get() : device_.data(); }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> host_;
  DeviceMemory device_;
};

/// Runs `body` twice, as the engine does: planning over a counting arena, then over a slab of
/// exactly the planned size. So a test also fails when an op takes other scratch than it planned.
/// Returns the StepState that the ops left.
inline StepState run_planned(int n_threads, const StepState& step,
                             const std::function<void(Context&)>& body) {
  ThreadPool threads(n_threads);
  Shared<StepState> state(step);
  Arena counting;
  Context ctx{.threads = &threads, .arena = &counting, .planning = true};
  attach_device(ctx);
  ctx.step = state.pointer();
  body(ctx);
  const Slab slab(counting.high_water());
  Arena arena(slab.data(), counting.high_water());
  ctx.arena = &arena;
  ctx.planning = false;
  body(ctx);
  finish_device();
  return state.get();
}
inline StepState run_planned(int n_threads, const std::function<void(Context&)>& body) {
  return run_planned(n_threads, StepState{}, body);
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

/// An owning matrix with guard bands, filled with NaN. The host sees fp32. On a GPU, view() is a
/// copy there in the compute type (or, after of_f32(), in fp32) that follows what the host writes;
/// what ops write comes back when the host looks.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t cols, int64_t stride = 0)
      : rows_(rows), cols_(cols), stride_(stride == 0 ? cols : stride) {
    const size_t n = static_cast<size_t>(rows_ * stride_ + 2 * kGuard);
    Line poison;
    for (float& x : poison.element) x = std::bit_cast<float>(kPoison);
    buffer_.assign((n + kLine - 1) / kLine, poison);
  }
  /// Values are numbers of the compute type.
  static Matrix random(int64_t rows, int64_t cols, uint64_t seed, int64_t stride = 0) {
    Matrix m(rows, cols, stride);
    Random random(seed);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) m.at(i, j) = rounded(random.symmetric());
    }
    return m;
  }
  Matrix(const Matrix& other)
      : rows_(other.rows_),
        cols_(other.cols_),
        stride_(other.stride_),
        dtype_(other.dtype_),
        buffer_(other.host()) {}
  Matrix& operator=(const Matrix& other) {
    Matrix copy(other);
    *this = std::move(copy);
    return *this;
  }
  Matrix(Matrix&&) = default;
  Matrix& operator=(Matrix&&) = default;

  /// This matrix, fp32 on every device: statistics, parameters and gradients of training.
  Matrix& of_f32() & {
    dtype_ = DType::kF32;
    return *this;
  }
  Matrix&& of_f32() && {
    dtype_ = DType::kF32;
    return std::move(*this);
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  float& at(int64_t i, int64_t j) {
    host();
    stale_ = Side::kDevice;
    return element(kGuard + i * stride_ + j);
  }
  float at(int64_t i, int64_t j) const {
    host();
    return const_cast<Matrix*>(this)->element(kGuard + i * stride_ + j);
  }
  /// On the tests' device.
  Tensor view() {
    Tensor t = make_tensor(&element(kGuard), rows_, cols_);
    t.stride = stride_;
    if (!on_gpu()) return t;
    if (stale_ == Side::kDevice) upload();
    stale_ = Side::kHost;
    t.dtype = dtype_;
    t.device = device();
    t.data = static_cast<char*>(memory_.data()) + kGuard * dtype_size(dtype_);
    return t;
  }
  /// The elements of a one-row fp32 matrix.
  std::span<float> flat() { return {view().f32(), static_cast<size_t>(cols_)}; }

  /// Whether everything outside the matrix is as it was made.
  bool guards_intact() const {
    host();
    const int64_t n = static_cast<int64_t>(buffer_.size() * kLine);
    for (int64_t at = 0; at < n; ++at) {
      const float value = buffer_[static_cast<size_t>(at) / kLine].element[at % kLine];
      if (!inside(at) && std::bit_cast<uint32_t>(value) != kPoison) return false;
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
  enum class Side { kNone, kHost, kDevice };
  static constexpr int64_t kGuard = 32;
  static constexpr uint32_t kPoison = 0x7fc0dead;  // a NaN
  static constexpr uint16_t kPoison16 = 0x7fdd;    // a NaN of both 16-bit types

  float& element(int64_t at) {
    return buffer_[static_cast<size_t>(at) / kLine].element[static_cast<size_t>(at) % kLine];
  }
  bool inside(int64_t at) const {
    const int64_t offset = at - kGuard;
    return offset >= 0 && offset < rows_ * stride_ && offset % stride_ < cols_;
  }
  // Poison keeps its own bits in both directions, so that guards_intact sees every write.
  void upload() {
    const int64_t n = static_cast<int64_t>(buffer_.size() * kLine);
    const size_t n_bytes = static_cast<size_t>(n) * dtype_size(dtype_);
    if (!memory_) memory_ = DeviceMemory(n_bytes);
    if (dtype_ == DType::kF32) return memory_.write(buffer_.data(), n_bytes);
    std::vector<uint16_t> halves;
    for (int64_t at = 0; at < n; ++at) {
      const float value = element(at);
      const bool poison = std::bit_cast<uint32_t>(value) == kPoison;
      halves.push_back(poison                   ? kPoison16
                       : dtype_ == DType::kBF16 ? to_bf16(value)
                                                : to_f16(value));
    }
    memory_.write(halves.data(), n_bytes);
  }
  const std::vector<Line>& host() const {
    if (stale_ != Side::kHost) return buffer_;
    stale_ = Side::kNone;
    Matrix& self = const_cast<Matrix&>(*this);
    const int64_t n = static_cast<int64_t>(buffer_.size() * kLine);
    if (dtype_ == DType::kF32) {
      memory_.read(self.buffer_.data(), static_cast<size_t>(n) * sizeof(float));
      return buffer_;
    }
    std::vector<uint16_t> halves(static_cast<size_t>(n));
    memory_.read(halves.data(), halves.size() * sizeof(uint16_t));
    for (int64_t at = 0; at < n; ++at) {
      const uint16_t half = halves[static_cast<size_t>(at)];
      self.element(at) = half == kPoison16        ? std::bit_cast<float>(kPoison)
                         : dtype_ == DType::kBF16 ? from_bf16(half)
                                                  : from_f16(half);
    }
    return buffer_;
  }

  int64_t rows_, cols_, stride_;
  DType dtype_ = compute_type();
  mutable Side stale_ = Side::kDevice;
  std::vector<Line> buffer_;
  DeviceMemory memory_;
};

/// A matrix of a dtype of its own on every device: stored weights.
class StoredMatrix {
 public:
  /// The values of `values`, rounded to `dtype` (F32, F16 or BF16); `values` then holds the rounded
  /// ones.
  StoredMatrix(Matrix& values, DType dtype)
      : rows_(values.rows()), cols_(values.cols()), dtype_(dtype) {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) {
        float& value = values.at(i, j);
        if (dtype == DType::kF32) {
          words_.push_back(std::bit_cast<uint32_t>(value));
        } else {
          halves_.push_back(dtype == DType::kF16 ? to_f16(value) : to_bf16(value));
          value = dtype == DType::kF16 ? from_f16(halves_.back()) : from_bf16(halves_.back());
        }
      }
    }
  }
  Tensor view() {
    void* data = dtype_ == DType::kF32 ? static_cast<void*>(words_.writable_span().data())
                                       : halves_.writable_span().data();
    return make_tensor(data, rows_, cols_, dtype_, device());
  }

 private:
  int64_t rows_, cols_;
  DType dtype_;
  List<uint32_t> words_;
  List<uint16_t> halves_;
};

}  // namespace qe::test
