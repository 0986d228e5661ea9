// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/runtime.h"

#include <cuda_runtime.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "kernels/cuda/cublaslt.h"

namespace qe::cuda {
namespace {

std::atomic<int64_t> n_launched = 0;

}  // namespace

Runtime::Runtime(int device, void* stream)
    : device_(device),
      owns_stream_(stream == nullptr),
      stream_(owns_stream_ ? create_stream(device) : stream) {
  const char* setting = std::getenv("QE_SYNC_LAUNCHES");
  constexpr size_t kBytes = kCounters * sizeof(uint32_t);
  counters_ = static_cast<uint32_t*>(allocate(device, MemorySpace::kDevice, kBytes));
  zero(counters_, kBytes, stream_);
  synchronize_ = setting != nullptr && std::string_view(setting) == "1";
}
Runtime::~Runtime() {
  if (owns_stream_) destroy_stream(stream_);
  release(MemorySpace::kDevice, counters_);
}

CublasLt& Runtime::cublaslt() {
  if (!cublaslt_) {
    cublaslt_ = std::make_shared<CublasLt>();
    cublaslt_->set_deterministic(deterministic_);
  }
  return *cublaslt_;
}

void Runtime::set_deterministic(bool deterministic) {
  deterministic_ = deterministic;
  if (cublaslt_) cublaslt_->set_deterministic(deterministic);
}

std::string Runtime::choices() const { return cublaslt_ ? cublaslt_->choices() : ""; }

std::string Runtime::adopt_choices(const Context& ctx, const std::string& text) {
  return cublaslt().adopt(ctx, text);
}

int64_t Runtime::n_launches() { return n_launched.load(std::memory_order_relaxed); }

void Runtime::launched(const char* kernel) {
  n_launched.fetch_add(1, std::memory_order_relaxed);
  cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess && synchronize_) {
    status = cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));
  }
  QE_CHECK(status == cudaSuccess, kernel, ": ", cudaGetErrorString(status), " (",
           cudaGetErrorName(status), ")");
}

}  // namespace qe::cuda
