// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tests/support/device.h"

#include <cmath>
#include <cstdlib>
#include <string_view>

#include "kernels/core/dtype.h"
#include "kernels/core/error.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops/backend.h"

namespace qe::test {
namespace {

struct Place {
  Device device;
  DType compute = DType::kF32;
  std::unique_ptr<Backend> backend;
  Context ctx;  // with device, stream and handles only
};

Place& place() {
  static Place opened = [] {
    Place p;
    const char* type = std::getenv("QE_TEST_DEVICE");
    if (type == nullptr) return p;
    const std::string_view name = type;
    QE_CHECK(name == "f32" || name == "bf16" || name == "f16", "QE_TEST_DEVICE is \"", name,
             "\", expected f32, bf16 or f16");
    p.device = Device{DeviceKind::kCuda, 0};
    p.compute = name == "f32" ? DType::kF32 : name == "bf16" ? DType::kBF16 : DType::kF16;
    p.backend = std::make_unique<Backend>(p.device, false);
    p.backend->attach(p.ctx, p.compute);
    return p;
  }();
  return opened;
}

}  // namespace

Device device() { return place().device; }
DType compute_type() { return place().compute; }
std::string device_setting() { return on_gpu() ? "cuda" : "cpu"; }
std::string compute_setting() {
  return compute_type() == DType::kBF16 ? "bf16" : compute_type() == DType::kF16 ? "fp16" : "fp32";
}

void attach_device(Context& ctx) {
  ctx.device = place().device;
  ctx.compute = place().compute;
  ctx.limits = place().ctx.limits;
  ctx.stream = place().ctx.stream;
  ctx.cuda = place().ctx.cuda;
}

bool small_only() { return std::getenv("QE_SMALL") != nullptr; }

void finish_device() {
  if (on_gpu()) cuda::synchronize(place().ctx.stream);
}

int64_t n_launches() { return cuda::Runtime::n_launches(); }

void close_device() { place().backend.reset(); }

float rounded(float value) {
  switch (compute_type()) {
    case DType::kBF16:
      return from_bf16(to_bf16(value));
    case DType::kF16:
      return from_f16(to_f16(value));
    default:
      return value;
  }
}

double tolerance(Result result, double on_cpu) {
  if (!on_gpu()) return on_cpu;
  struct Row {
    double f32, f16, bf16;
  };
  // kModelGradients: rounding the small golden model's weights alone moves its LoRA gradients by up
  // to 3.6e-3 (fp16) and 3.2e-2 (bf16) of themselves, computed in float64; PyTorch's own passes in
  // these types are up to 6.3e-3 and 5.6e-2 away.
  static constexpr Row kRows[] = {
      {1e-5, 1e-3, 4e-3},  // kElements
      {1e-5, 1e-3, 4e-3},  // kAttention
      {1e-5, 2e-3, 8e-3},  // kGradients
      {1e-5, 1e-4, 1e-4},  // kLoss
      {1e-4, 3e-3, 2e-2},  // kModel
      {1e-4, 5e-3, 4e-2},  // kModelGradients
  };
  const Row& row = kRows[static_cast<int>(result)];
  return compute_type() == DType::kBF16  ? row.bf16
         : compute_type() == DType::kF16 ? row.f16
                                         : row.f32;
}

bool alike(float found, float expected) {
  if (found == expected) return true;
  // Terms are of the order of 1: sums may cancel.
  const double allowed = tolerance(Result::kElements, 0.0) * (1.0 + std::fabs(double{expected}));
  return std::fabs(double{found} - double{expected}) <= allowed;
}

void DeviceMemory::write(const void* from, size_t n_bytes) {
  cuda::copy(data(), from, n_bytes, place().ctx.stream);
  finish_device();
}
void DeviceMemory::read(void* to, size_t n_bytes) const {
  cuda::copy(to, data(), n_bytes, place().ctx.stream);
  finish_device();
}

}  // namespace qe::test
