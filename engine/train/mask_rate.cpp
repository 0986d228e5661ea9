// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/mask_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace qe {

double MaskRate::at(int64_t step) const {
  const auto [begin, end, cosine, total] = options_;
  const double last = static_cast<double>(std::max<int64_t>(total - 1, 1));
  const double done = std::min(static_cast<double>(step) / last, 1.0);
  const double share = cosine ? 0.5 * (1.0 - std::cos(std::numbers::pi * done)) : done;
  return begin + (end - begin) * share;
}

}  // namespace qe
