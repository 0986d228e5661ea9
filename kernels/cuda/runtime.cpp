// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/runtime.h"

#include <cuda_runtime.h>

#include <cstdlib>
#include <string_view>

#include "kernels/core/cuda.h"
#include "kernels/core/error.h"

namespace qe::cuda {

Runtime::Runtime(int device) : device_(device), stream_(create_stream(device)) {
  const char* setting = std::getenv("QE_SYNC_LAUNCHES");
  synchronize_ = setting != nullptr && std::string_view(setting) == "1";
}
Runtime::~Runtime() { destroy_stream(stream_); }

void Runtime::launched(const char* kernel) {
  ++n_launches_;
  cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess && synchronize_) {
    status = cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));
  }
  QE_CHECK(status == cudaSuccess, kernel, ": ", cudaGetErrorString(status), " (",
           cudaGetErrorName(status), ")");
}

}  // namespace qe::cuda
