// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The StepState and the sums of an update: in the device's memory for ops, and mirrored in host
// memory. Nothing waits for the device but fetch().

#include <vector>

#include "engine/memory/memory.h"
#include "kernels/ops/mlm_loss.h"

namespace qe {

class StepMemory {
 public:
  /// n_micro: micro-batches of the largest update. Memory rows (GPU): "step state", "step state
  /// (pinned)".
  StepMemory(int64_t n_micro, const Context& ctx, Memory& memory);

  /// For Context::step.
  StepState* device_state() const { return state_; }

  /// What the host sets before an update, and what ops had left at the last fetch.
  StepState& values() { return on_device_ ? host_ : *state_; }
  /// Starts an update: sums are zero.
  void begin(Context& ctx);
  /// Sends the host's part of values(); at most once per micro-batch of an update.
  void upload(Context& ctx);
  /// Sends all of values(): at the start of a run.
  void upload_all(Context& ctx);
  /// The sums of micro-batch i, in the device's memory.
  MlmTotals* totals(int64_t i) const { return totals_ + i; }

  /// Waits for all that was started, brings values() up to date, and returns the sums of each
  /// micro-batch.
  const std::vector<MlmTotals>& fetch(Context& ctx);

 private:
  bool on_device_;
  StepState host_;
  StepState* state_;        // in the device's memory, with totals_ behind it
  MlmTotals* totals_;       // (n_micro)
  char* pinned_ = nullptr;  // (n_micro + 1) StepStates to send, then what comes back
  int64_t n_micro_;
  int64_t n_sent_ = 0;
  std::vector<MlmTotals> fetched_;
};

}  // namespace qe
