// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/backend.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "kernels/cpu/isa.h"
#include "kernels/cuda/runtime.h"

namespace qe {
namespace {

// Shared memory that one block can have, by compute capability.
size_t shared_bytes_of(int compute_capability) {
  switch (compute_capability) {
    case 75:
      return 64 << 10;
    case 80:
      return 163 << 10;
    case 86:
    case 89:
    case 120:
      return 99 << 10;
    default:
      return 227 << 10;
  }
}

DeviceLimits limits_of(Device device, bool planning) {
  DeviceLimits limits;
  if (device.kind == DeviceKind::kCpu) return limits;
  if (device.index < cuda::device_count()) {
    const cuda::DeviceInfo info = cuda::device_info(device.index);
    limits = {info.compute_capability, info.n_multiprocessors, info.shared_bytes};
  } else {
    QE_CHECK(planning, device_name(device), ": ", cuda::unavailable_reason());
  }
  if (const char* forced = std::getenv("QE_FORCE_ARCH")) {
    const int arch = std::atoi(forced);
    QE_CHECK(arch >= 75 && arch <= 120, "QE_FORCE_ARCH is \"", forced, "\", expected 75 .. 120");
    limits.compute_capability = arch;
    limits.shared_bytes = std::min(limits.shared_bytes, shared_bytes_of(arch));
  }
  return limits;
}

}  // namespace

std::string backend_name(Device device) {
  if (device.kind == DeviceKind::kCpu) return std::string(cpu::isa_name());
  return cuda::device_info(device.index).name;
}

Device find_device(const std::string& name, bool planning) {
  if (name == "cpu") return Device{};
  if (name == "auto") {
    return cuda::device_count() > 0 ? Device{DeviceKind::kCuda, 0} : Device{};
  }
  Device device{DeviceKind::kCuda, 0};
  const std::string prefix = "cuda:";
  if (name != "cuda") {
    const char* const end = name.data() + name.size();
    const char* const digits = name.data() + std::min(name.size(), prefix.size());
    const auto parsed = std::from_chars(digits, end, device.index);
    QE_CHECK(name.starts_with(prefix) && parsed.ec == std::errc() && parsed.ptr == end &&
                 device.index >= 0,
             "device: expected auto, cpu, cuda or cuda:N, got \"", name, "\"");
  }
  QE_CHECK(planning || cuda::built_in(), device_name(device), ": ", cuda::unavailable_reason());
  const int n = cuda::device_count();
  QE_CHECK(planning || n > 0, device_name(device), ": ", cuda::unavailable_reason());
  QE_CHECK(planning || device.index < n, device_name(device), ": there are ", n,
           " CUDA devices, numbered from 0");
  return device;
}

DType compute_type(const std::string& name, Device device, const DeviceLimits& limits) {
  if (device.kind == DeviceKind::kCpu || name == "fp32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  if (name == "fp16") return DType::kF16;
  QE_CHECK(name == "auto", "compute_dtype: expected auto, fp32, bf16 or fp16, got \"", name, "\"");
  return limits.compute_capability >= 80 ? DType::kBF16 : DType::kF16;
}

Backend::Backend(Device device, bool planning, void* stream)
    : device_(device), limits_(limits_of(device, planning)) {
  if (device.kind == DeviceKind::kCuda && !planning) {
    runtime_ = std::make_unique<cuda::Runtime>(device.index, stream);
  }
}
Backend::~Backend() = default;
Backend::Backend(Backend&&) noexcept = default;
Backend& Backend::operator=(Backend&&) noexcept = default;

void Backend::attach(Context& ctx, DType compute) const {
  const bool on_cpu = device_.kind == DeviceKind::kCpu;
  QE_CHECK(compute == DType::kF32 || (!on_cpu && compute == DType::kF16) ||
               (!on_cpu && compute == DType::kBF16 && limits_.compute_capability >= 80),
           device_name(device_), " does not compute in ", dtype_name(compute));
  ctx.device = device_;
  ctx.compute = compute;
  ctx.limits = limits_;
  ctx.cuda = runtime_.get();
  ctx.stream = runtime_ ? runtime_->stream() : nullptr;
}

void Backend::set_deterministic(bool deterministic) const {
  if (runtime_) runtime_->set_deterministic(deterministic);
}

std::string Backend::choices() const { return runtime_ ? runtime_->choices() : ""; }

std::string Backend::adopt_choices(const Context& ctx, const std::string& text) const {
  if (runtime_) return runtime_->adopt_choices(ctx, text);
  return text.empty() ? "" : "they were made on a GPU, this is the CPU";
}

bool cuda_built_in() { return cuda::built_in(); }

std::vector<std::string> cpu_backends() {
  std::vector<std::string> names;
  for (const cpu::Isa isa :
       {cpu::Isa::kScalar, cpu::Isa::kNeon, cpu::Isa::kAvx2, cpu::Isa::kAvx512}) {
    if (cpu::isa_supported(isa)) names.emplace_back(cpu::isa_name(isa));
  }
  return names;
}

}  // namespace qe
