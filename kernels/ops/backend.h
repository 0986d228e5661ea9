// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What computes on a device, for people.

#include <string>

#include "kernels/core/device.h"

namespace qe {

/// The instruction set that the CPU backend runs on: "avx2", "avx512", "neon" or "scalar". Throws
/// Error for a device that this build has no backend for.
std::string backend_name(Device device);

}  // namespace qe
