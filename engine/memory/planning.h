// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Planning: running code over a counting arena to learn how much memory it will need.

#include "kernels/core/context.h"

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

}  // namespace qe
