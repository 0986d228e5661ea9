// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The row of a plan that is nobody's array: what CUDA takes of a GPU for itself.

#include "engine/train/training_parts.h"

namespace qe {

/// The name of that row.
inline constexpr const char* kDeviceOverheadRow = "CUDA context, kernels, cuBLASLt";

/// The row for a GPU that is not there: measured on an H100 (driver 580, CUDA 13.0), bert-large.
inline constexpr size_t kAssumedDeviceOverhead = size_t{640} << 20;

/// Bytes of the device that CUDA's context, our kernels and cuBLASLt's take. The driver loads a
/// kernel when it is first launched, and with it grows what the context sets aside for stacks: so
/// an update and an evaluation over the model's first layers, with random weights and a batch of
/// the run's shape (but few tokens), come first, and what is measured is what the run itself will
/// find loaded. Everything else on the GPU counts, too: other processes' memory cannot be told
/// apart.
size_t measure_device_overhead(const RunConfig& config, const RunShape& shape,
                               const EncoderConfig& encoder, Device device, ThreadPool& threads);

}  // namespace qe
