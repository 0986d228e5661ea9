// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What every op takes first: where to run, with which threads, scratch and step state.

#include "kernels/core/arena.h"
#include "kernels/core/device.h"
#include "kernels/core/dtype.h"
#include "kernels/core/log.h"
#include "kernels/core/parallel.h"
#include "kernels/core/step_state.h"

namespace qe {

namespace cuda {
class Runtime;
}

/// One per executor (a trainer, an inference worker). Owns nothing.
struct Context {
  Device device;
  /// Element type of activations, their gradients, LoRA matrices and matrix products' operands. F32
  /// on the CPU; F32, F16 or BF16 on a GPU. Statistics, losses, masters of trained parameters,
  /// their gradients and optimizer states are fp32 everywhere.
  DType compute = DType::kF32;
  DeviceLimits limits;            ///< of a GPU
  void* stream = nullptr;         ///< cudaStream_t; null on the CPU
  cuda::Runtime* cuda = nullptr;  ///< library handles; null on the CPU and while planning
  ThreadPool* threads = nullptr;  ///< required on the CPU
  Arena* arena = nullptr;         ///< activations, gradients and op scratch
  StepState* step = nullptr;      ///< in the device's memory; read by dropout, the loss and AdamW
  const Log* log = nullptr;
  /// Ops check their contracts and take (then give back) their scratch, but launch nothing. With a
  /// counting arena this is the planner.
  bool planning = false;
};

}  // namespace qe
