// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What computes on a device.

#include <memory>
#include <string>
#include <vector>

#include "kernels/core/context.h"

namespace qe {

/// For people: the instruction set that the CPU backend runs on ("avx2", "avx512", "neon",
/// "scalar"), or the GPU's name. Throws Error for a device that is not there.
std::string backend_name(Device device);

/// All instruction sets that this build and this machine have, the plainest first.
std::vector<std::string> cpu_backends();

/// Whether this build has the CUDA backend, whatever the machine has.
bool cuda_built_in();

/// The device that `name` asks for: "cpu", "cuda" (the first GPU), "cuda:N", or "auto": the first
/// GPU if there is one, else the CPU. Throws Error when it is not there; planning, a GPU need not
/// be.
Device find_device(const std::string& name, bool planning);

/// "fp32", "bf16" or "fp16" as a type; "auto": BF16 on a GPU that has it in hardware (compute
/// capability 8.0), F16 on older ones. The CPU always computes in F32.
DType compute_type(const std::string& name, Device device, const DeviceLimits& limits);

/// A device opened by one executor: a GPU's stream and library handles; on the CPU nothing.
class Backend {
 public:
  /// Planning opens nothing, so that a GPU that is not there can be planned for. limits are those
  /// of the device; QE_FORCE_ARCH=75, 80, 86 ... in the environment makes kernels believe that the
  /// GPU is of that compute capability, with its shared memory.
  /// stream: a GPU's, of somebody else's; null: one of its own.
  Backend(Device device, bool planning, void* stream = nullptr);
  ~Backend();
  Backend(Backend&&) noexcept;
  Backend& operator=(Backend&&) noexcept;

  Device device() const { return device_; }
  const DeviceLimits& limits() const { return limits_; }
  /// Sets device, limits, stream and handles of `ctx`, and compute to `compute`. Throws Error when
  /// the device does not compute in that type.
  void attach(Context& ctx, DType compute) const;

  /// A GPU's matrix products: their algorithms follow from shapes and library alone (the same bits
  /// in every run), or (the default) are timed when a shape is first seen.
  void set_deterministic(bool deterministic) const;
  /// Who chose, and what was chosen by timing, as text for a run that goes on from here; "" on the
  /// CPU. Nothing is timed afterwards, so that both runs choose alike.
  std::string choices() const;
  /// Takes such choices over. Returns "" or why that run's bits cannot be had here.
  std::string adopt_choices(const Context& ctx, const std::string& text) const;

 private:
  Device device_;
  DeviceLimits limits_;
  std::unique_ptr<cuda::Runtime> runtime_;
};

}  // namespace qe
