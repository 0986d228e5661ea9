// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The GPU as host code sees it: devices, memory, streams, copies. A program built without CUDA has
// the same functions (core/cuda_absent.cpp): no devices, and errors for everything else. A program
// built with CUDA starts on machines without a driver: then there are no devices either.
//
// Failures of the runtime throw Error with the call and CUDA's own words.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace qe::cuda {

/// Whether this program has the CUDA backend.
bool built_in();
/// GPUs that can be used; 0 without a driver.
int device_count();
/// Why device_count() is 0, in words.
std::string unavailable_reason();

struct DeviceInfo {
  std::string name;
  int compute_capability = 0;  ///< 10 * major + minor
  int n_multiprocessors = 0;
  size_t shared_bytes = 0;  ///< shared memory of one block, opted in
  size_t total_bytes = 0;
  size_t free_bytes = 0;  ///< now
  /// Host and GPU may touch managed memory at the same time.
  bool concurrent_managed_access = false;
};
DeviceInfo device_info(int device);

enum class MemorySpace {
  kDevice,   ///< the GPU's own
  kPinned,   ///< page-locked host memory, readable by the GPU
  kManaged,  ///< unified memory that stays on the host
};
/// n_bytes > 0, 256-byte aligned, uninitialized. Throws Error, naming the free bytes, when there is
/// not enough.
void* allocate(int device, MemorySpace space, size_t n_bytes);
void release(MemorySpace space, void* memory) noexcept;
/// Bytes of kDevice memory that this process holds by allocate, in the driver's pages.
size_t allocated_bytes(int device);
/// Bytes in use on the device that are neither that nor, where NVIDIA's management library could
/// tell, other processes' when this one first used the device: the context, kernels, libraries.
size_t overhead_bytes(int device);

/// A stream of its own, which does not synchronize with the default stream (cudaStream_t).
void* create_stream(int device);
void destroy_stream(void* stream) noexcept;

/// Between any two of host and device memory, in stream order. `from` in pinned memory stays
/// untouched by the host until the stream has passed the copy; from pageable memory it is read
/// before this returns.
void copy(void* to, const void* from, size_t n_bytes, void* stream);
void zero(void* memory, size_t n_bytes, void* stream);
/// Waits for everything the stream was given.
void synchronize(void* stream);

/// A point in a stream.
class Event {
 public:
  /// timed: usable with milliseconds_since.
  explicit Event(int device, bool timed = false);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(void* stream);
  /// Holds the calling thread until the stream has passed the point.
  void wait() const;
  /// Holds `stream` until the point has been passed.
  void hold(void* stream) const;
  double milliseconds_since(const Event& earlier) const;

 private:
  void* event_ = nullptr;
};

/// What a stream was given once, to be given again without the host's part of the work.
class Graph {
 public:
  /// Calls `body`, whose work for the stream is recorded, not done.
  Graph(void* stream, const std::function<void()>& body);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(void* stream) const;

 private:
  void* recorded_ = nullptr;
};

}  // namespace qe::cuda
