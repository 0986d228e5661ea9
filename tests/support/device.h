// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The device that a test program runs on: the CPU, or with QE_TEST_DEVICE=f32, bf16 or f16 in the
// environment the first GPU, computing in that type. Test cases that can run on both are declared
// by DEVICE_TEST_CASE; only they run on the GPU. The same source, the same float64 references.

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/cuda.h"

/// A test case that runs on every device.
#define DEVICE_TEST_CASE(name) TEST_CASE(name* doctest::test_suite("device"))

namespace qe::test {

/// Where the tests run.
Device device();
inline bool on_gpu() { return device().kind == DeviceKind::kCuda; }
/// Of activations; F32 on the CPU.
DType compute_type();
/// Both as run_config's device and compute_dtype have them.
std::string device_setting();
std::string compute_setting();
/// Sets device, compute type, stream and handles of a context.
void attach_device(Context& ctx);
/// Waits for the device. On a GPU this also is where failures of kernels are thrown.
void finish_device();
/// Kernels launched by this process.
int64_t n_launches();

/// Gives the device back, before the process's own end takes CUDA's libraries apart.
void close_device();

/// `value` rounded to compute_type().
float rounded(float value);

/// Whether QE_SMALL is set in the environment: kernels run under a tool that slows them a
/// hundredfold.
bool small_only();
/// The sizes that a case goes over: `all`; where only small ones shall run `few`, which cross the
/// same borders of blocks, tiles and slices.
template <class T>
std::vector<T> sizes(std::vector<T> all, std::vector<T> few) {
  return small_only() ? few : all;
}

/// What a result is, for the largest error it may have.
enum class Result {
  kElements,        ///< elementwise ops, norms, and matrix products
  kAttention,       ///< attention's output
  kGradients,       ///< of attention, and of products of products
  kLoss,            ///< fp32 sums of fp32 losses
  kModel,           ///< logits and losses of a small model whose weights were rounded, too
  kModelGradients,  ///< its LoRA gradients
};
/// The largest ||found - expected|| / ||expected||: `on_cpu` on the CPU, else the table's.
double tolerance(Result result, double on_cpu);

/// Whether an element is as expected: equal; on a GPU, where sums may be fused or rounded once
/// instead of twice, within tolerance(kElements).
bool alike(float found, float expected);

/// Device memory.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(size_t n_bytes)
      : data_(cuda::allocate(device().index, cuda::MemorySpace::kDevice, n_bytes ? n_bytes : 1)) {}
  void* data() const { return data_.get(); }
  explicit operator bool() const { return data_ != nullptr; }
  /// Copies n_bytes of host memory, or to it. Waits.
  void write(const void* from, size_t n_bytes);
  void read(void* to, size_t n_bytes) const;

 private:
  struct Free {
    void operator()(void* memory) const { cuda::release(cuda::MemorySpace::kDevice, memory); }
  };
  std::unique_ptr<void, Free> data_;
};

/// A host list with a copy on the GPU that follows: what ops take as a span. Reads and writes of
/// the host see what ops wrote, and the other way round.
template <class T>
class List {
 public:
  List() = default;
  List(std::initializer_list<T> items) : host_(items) {}
  List(std::vector<T> items) : host_(std::move(items)) {}  // NOLINT: a vector is one
  explicit List(size_t n, T value = T()) : host_(n, value) {}
  List(const List& other) : host_(other.host()) {}
  List& operator=(const List& other) {
    host_ = other.host();
    stale_ = Side::kDevice;
    return *this;
  }

  size_t size() const { return host_.size(); }
  bool empty() const { return host_.empty(); }
  const T& operator[](size_t i) const { return host()[i]; }
  T& operator[](size_t i) { return mutable_host()[i]; }
  auto begin() const { return host().begin(); }
  auto end() const { return host().end(); }
  const T& back() const { return host().back(); }
  void push_back(T value) { mutable_host().push_back(value); }
  const std::vector<T>& host() const {
    if (stale_ == Side::kHost) {
      memory_.read(host_.data(), host_.size() * sizeof(T));
      stale_ = Side::kNone;
    }
    return host_;
  }

  /// What std::span takes a range by: without it, it would take the host's iterators.
  const T* data() const { return place(); }
  std::span<const T> span() const { return {place(), host_.size()}; }
  std::span<T> writable_span() {
    T* at = place();
    if (on_gpu()) stale_ = Side::kHost;
    return {at, host_.size()};
  }
  operator std::span<const T>() const { return span(); }  // NOLINT: as a vector does
  operator std::span<T>() { return writable_span(); }     // NOLINT

 private:
  enum class Side { kNone, kHost, kDevice };

  std::vector<T>& mutable_host() {
    host();
    stale_ = Side::kDevice;
    return host_;
  }
  T* place() const {
    if (!on_gpu()) return host_.data();
    if (stale_ == Side::kDevice) {
      if (n_on_device_ < host_.size()) memory_ = DeviceMemory(host_.size() * sizeof(T));
      n_on_device_ = std::max(n_on_device_, host_.size());
      if (!host_.empty()) memory_.write(host_.data(), host_.size() * sizeof(T));
      stale_ = Side::kNone;
    }
    return static_cast<T*>(memory_.data());
  }

  mutable std::vector<T> host_;
  mutable DeviceMemory memory_;
  mutable size_t n_on_device_ = 0;
  mutable Side stale_ = Side::kDevice;
};

/// One struct in the device's memory, for ops that add to it.
template <class T>
class Shared {
 public:
  explicit Shared(const T& value = T()) : list_{value} {}
  T* pointer() { return list_.writable_span().data(); }
  const T& get() const { return list_[0]; }
  void set(const T& value) { list_[0] = value; }

 private:
  List<T> list_;
};

}  // namespace qe::test
