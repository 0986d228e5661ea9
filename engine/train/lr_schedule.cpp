// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/core/error.h"

namespace qe {

double lr_factor(const std::string& name, int64_t step, int64_t warmup, int64_t total) {
  const double s = static_cast<double>(step);
  const double w = static_cast<double>(warmup);
  const double remaining = static_cast<double>(std::max<int64_t>(1, total - warmup));
  if (name == "constant") return 1.0;
  if (step < warmup) return s / std::max(1.0, w);
  if (name == "constant_with_warmup") return 1.0;
  if (name == "linear") return std::max(0.0, (static_cast<double>(total) - s) / remaining);
  if (name == "cosine") {
    const double progress = (s - w) / remaining;
    return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
  }
  fail("lr_scheduler_type: unknown schedule \"", name, "\"");
}

}  // namespace qe
