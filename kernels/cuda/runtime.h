// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a Context of a GPU points to beside memory: the stream's owner and the libraries' handles.
// One per executor.

#include <cstdint>
#include <memory>
#include <string>

namespace qe {
struct Context;
}

namespace qe::cuda {

class CublasLt;

class Runtime {
 public:
  /// stream: the host's, null: one of our own.
  Runtime(int device, void* stream);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  int device() const { return device_; }
  void* stream() const { return stream_; }

  /// Dense products. Opened by the first call, which throws Error when the library is missing.
  CublasLt& cublaslt();

  /// kCounters integers on the device for kernels whose last block has more to do. They are 0
  /// between kernels: who counts them up resets them.
  static constexpr int64_t kCounters = 4096;
  uint32_t* counters() const { return counters_; }

  /// Of matrix products' algorithms (kernels/cuda/cublaslt.h): no timing; what was chosen so far as
  /// text, and the choices of another run taken over ("" or why not).
  void set_deterministic(bool deterministic);
  std::string choices() const;
  std::string adopt_choices(const Context& ctx, const std::string& text);

  /// Kernels that this process launched so far.
  static int64_t n_launches();
  /// After every launch (kernels/cuda/check.cuh): throws Error naming the kernel when it failed.
  void launched(const char* kernel);

 private:
  int device_;
  bool owns_stream_;
  void* stream_;
  bool deterministic_ = false;
  bool synchronize_;  // QE_SYNC_LAUNCHES=1: find the kernel that fails
  std::shared_ptr<CublasLt> cublaslt_;
  uint32_t* counters_ = nullptr;
};

}  // namespace qe::cuda
