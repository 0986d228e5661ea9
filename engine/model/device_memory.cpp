// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/device_memory.h"

#include <algorithm>
#include <cmath>

#include "engine/memory/memory.h"
#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "kernels/ops/backend.h"

namespace qe {

bool is_absent(Device device) {
  return device.kind == DeviceKind::kCuda && device.index >= cuda::device_count();
}

size_t measure_device_overhead(Device device, const std::string& compute_dtype, ThreadPool& threads,
                               const std::function<void(Context&)>& warm_up) {
  if (device.kind == DeviceKind::kCpu) return 0;
  if (is_absent(device)) return kAssumedDeviceOverhead;
  const Backend backend(device, false);  // the run's own chooses its algorithms itself
  Context ctx{.threads = &threads};
  backend.attach(ctx, compute_type(compute_dtype, device, backend.limits()));
  backend.set_deterministic(true);
  try {
    warm_up(ctx);
  } catch (const OutOfMemory&) {  // then the plan will say how much there is
    return std::max(kAssumedDeviceOverhead, cuda::overhead_bytes(device.index));
  }
  return cuda::overhead_bytes(device.index);
}

EncoderConfig first_layers(EncoderConfig encoder) {
  // A middle layer and the last one, which sees labelled rows only.
  constexpr int64_t kLayers = 2;
  constexpr int64_t kVocabulary = 4096;
  encoder.n_layers = std::min(encoder.n_layers, kLayers);
  encoder.n_inner_layers = 1;
  encoder.n_distinct_layers = std::min(encoder.n_distinct_layers, encoder.n_layers);
  encoder.vocab_size = std::min(encoder.vocab_size, kVocabulary);
  return encoder;
}

MemoryLimit memory_limit(Device device, double max_memory_MB, size_t overhead, bool planning) {
  MemoryLimit limit{static_cast<size_t>(std::llround(max_memory_MB * 1e6)), "max_memory_MB"};
  const bool given = limit.n_bytes > 0;
  if (device.kind == DeviceKind::kCpu || is_absent(device) || (given && planning)) return limit;
  constexpr size_t kMargin = size_t{64} << 20;
  const size_t n_free = cuda::device_info(device.index).free_bytes;
  const size_t available = overhead + n_free - std::min(n_free, kMargin);
  if (given && limit.n_bytes <= available) return limit;
  return {available, cat("free memory of ", device_name(device))};
}

}  // namespace qe
