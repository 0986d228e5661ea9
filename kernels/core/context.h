// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What every op takes first: where to run, with which threads, scratch and step state.

#include "kernels/core/arena.h"
#include "kernels/core/device.h"
#include "kernels/core/log.h"
#include "kernels/core/parallel.h"
#include "kernels/core/step_state.h"

namespace qe {

/// One per executor (a trainer, an inference worker). Owns nothing.
struct Context {
  Device device;
  void* stream = nullptr;         ///< cudaStream_t; null on the CPU
  ThreadPool* threads = nullptr;  ///< required on the CPU
  Arena* arena = nullptr;         ///< activations, gradients and op scratch
  StepState* step = nullptr;      ///< in the device's memory; read by dropout, the loss and AdamW
  const Log* log = nullptr;
  /// Ops check their contracts and take (then give back) their scratch, but launch nothing. With a
  /// counting arena this is the planner.
  bool planning = false;
};

}  // namespace qe
