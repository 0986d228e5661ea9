// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/backend.h"

#include "kernels/core/error.h"
#include "kernels/cpu/isa.h"

namespace qe {

std::string backend_name(Device device) {
  QE_CHECK(device.kind == DeviceKind::kCpu, device_name(device),
           ": this build has no CUDA backend");
  return std::string(cpu::isa_name());
}

}  // namespace qe
