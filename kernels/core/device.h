// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Where memory lives and work runs.

#include <cstddef>
#include <string>

namespace qe {

enum class DeviceKind { kCpu, kCuda };

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

/// What kernels are chosen and sized by. The defaults are an H100's, which is what a plan assumes
/// of a GPU that is not there.
struct DeviceLimits {
  int compute_capability = 90;  ///< 10 * major + minor
  int n_multiprocessors = 132;
  size_t shared_bytes = 232448;  ///< shared memory of one block, opted in
};

/// "cpu" or "cuda:N".
inline std::string device_name(Device device) {
  return device.kind == DeviceKind::kCpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

}  // namespace qe
