// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/step_memory.h"

#include <cstring>

#include "kernels/core/error.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

constexpr size_t kStateBytes = (sizeof(StepState) + 63) / 64 * 64;

}  // namespace

StepMemory::StepMemory(int64_t n_micro, const Context& ctx, Memory& memory)
    : on_device_(ctx.device.kind != DeviceKind::kCpu),
      n_micro_(n_micro),
      fetched_(static_cast<size_t>(n_micro)) {
  const int64_t n_bytes =
      static_cast<int64_t>(kStateBytes) + n_micro * static_cast<int64_t>(sizeof(MlmTotals));
  char* device = memory.allocate_array<char>("step state", n_bytes);
  state_ = reinterpret_cast<StepState*>(device);
  totals_ = reinterpret_cast<MlmTotals*>(device + kStateBytes);
  if (on_device_) {
    const int64_t sent = (n_micro + 1) * static_cast<int64_t>(kStateBytes);
    pinned_ =
        memory.allocate_array<char>("step state (pinned)", sent + n_bytes, MemoryKind::kPinned);
  } else if (!memory.planning()) {
    *state_ = StepState{};
  }
}

void StepMemory::begin(Context& ctx) {
  n_sent_ = 0;
  zero_bytes(ctx, totals_, static_cast<size_t>(n_micro_) * sizeof(MlmTotals));
}

void StepMemory::upload(Context& ctx) {
  if (!on_device_ || ctx.planning) return;
  QE_CHECK(n_sent_ < n_micro_, "an update of more than the planned ", n_micro_, " micro-batches");
  char* const from = pinned_ + static_cast<size_t>(n_sent_++) * kStateBytes;
  std::memcpy(from, &host_, kStepInputBytes);
  copy_bytes(ctx, state_, from, kStepInputBytes);
}

void StepMemory::upload_all(Context& ctx) {
  if (!on_device_ || ctx.planning) return;
  synchronize(ctx);  // an earlier copy may still read the slot
  char* const from = pinned_ + static_cast<size_t>(n_micro_) * kStateBytes;
  std::memcpy(from, &host_, sizeof(StepState));
  copy_bytes(ctx, state_, from, sizeof(StepState));
}

const std::vector<MlmTotals>& StepMemory::fetch(Context& ctx) {
  const size_t n_totals = fetched_.size() * sizeof(MlmTotals);
  if (!on_device_) {
    std::memcpy(fetched_.data(), totals_, n_totals);
    return fetched_;
  }
  char* const back = pinned_ + static_cast<size_t>(n_micro_ + 1) * kStateBytes;
  copy_bytes(ctx, back, state_, kStateBytes + n_totals);
  synchronize(ctx);
  std::memcpy(&host_, back, sizeof(StepState));
  std::memcpy(fetched_.data(), back + kStateBytes, n_totals);
  return fetched_;
}

}  // namespace qe
