// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Launching kernels: on the context's stream, each launch checked.

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/core/context.h"
#include "kernels/core/error.h"
#include "kernels/cuda/runtime.h"

namespace qe::cuda {

inline cudaStream_t stream_of(const Context& ctx) { return static_cast<cudaStream_t>(ctx.stream); }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// kernel<<<grid, block, shared_bytes>>>(args...) on the context's stream. Launches nothing over an
/// empty grid. `name` is for error messages. More than 48 KB of shared memory is opted into.
template <class... Parameters, class... Args>
void launch(Context& ctx, const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Args&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared_bytes > 48 * 1024) {
    QE_CHECK(shared_bytes <= ctx.limits.shared_bytes, name, ": needs ", shared_bytes,
             " bytes of shared memory, a block has ", ctx.limits.shared_bytes);
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
  }
  kernel<<<grid, block, shared_bytes, stream_of(ctx)>>>(static_cast<Parameters>(args)...);
  ctx.cuda->launched(name);
}

}  // namespace qe::cuda
