// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a plan must know of the device itself: how much there is, and what CUDA takes of it.

#include <functional>
#include <string>

#include "formats/encoder_config.h"
#include "kernels/core/context.h"

namespace qe {

/// The row of a GPU's plan that is nobody's array.
inline constexpr const char* kDeviceOverheadRow = "CUDA context, kernels, cuBLASLt";

/// That row for a GPU that is not there: what was measured on an H100 (driver 580, CUDA 13.0) for
/// training bert-large in bf16.
inline constexpr size_t kAssumedDeviceOverhead = 556'597'248;

/// Whether it is a GPU that this machine lacks: it can only be planned for.
bool is_absent(Device device);

/// Bytes of the device that CUDA's context, our kernels and cuBLASLt's take. The driver loads a
/// kernel when it is first launched, and with it grows what the context sets aside for stacks: so
/// `warm_up` runs first, on a context of its own, and launches what the run will launch. 0 on the
/// CPU; of an absent GPU, or one without room for that, kAssumedDeviceOverhead.
size_t measure_device_overhead(Device device, const std::string& compute_dtype, ThreadPool& threads,
                               const std::function<void(Context&)>& warm_up);

/// For warm_up: the model's first layers, which launch what all of them do, and a small vocabulary.
EncoderConfig first_layers(EncoderConfig encoder);

/// Of the device's rows.
struct MemoryLimit {
  size_t n_bytes = 0;  ///< 0: none
  std::string what;    ///< "max_memory_MB", "free memory of cuda:0"
};

/// What a run may use: max_memory_MB, and of a GPU no more than is free, less what the driver may
/// still round up or load. A plan with a limit of its own may be for another GPU. overhead: the
/// device's, which is not free any more.
MemoryLimit memory_limit(Device device, double max_memory_MB, size_t overhead, bool planning);

}  // namespace qe
