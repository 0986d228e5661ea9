// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Planning: running code over a counting arena to learn how much memory it will need.

#include "engine/memory/memory.h"
#include "kernels/core/context.h"
#include "kernels/core/cuda.h"

namespace qe {

/// Bytes of arena that `run(Context&)` needs: its high-water mark when ops check their contracts
/// and take their scratch but launch nothing.
template <class Run>
size_t planned_arena_bytes(const Context& ctx, const Run& run) {
  Arena counting;
  Context planning = ctx;
  planning.arena = &counting;
  planning.planning = true;
  run(planning);
  return counting.high_water();
}

/// Runs ops on the context's device, with scratch of their own. Waits for them.
template <class Run>
void run_alone(const Context& device, const Run& run) {
  Context ctx = device;
  const size_t n_bytes = planned_arena_bytes(ctx, run);
  Memory memory(ctx);
  Arena arena(memory.allocate("scratch", n_bytes), n_bytes);
  ctx.arena = &arena;
  run(ctx);
  if (ctx.device.kind != DeviceKind::kCpu) cuda::synchronize(ctx.stream);
}

/// The same on the CPU.
template <class Run>
void run_on_host(ThreadPool& threads, const Run& run) {
  run_alone(Context{.threads = &threads}, run);
}

}  // namespace qe
