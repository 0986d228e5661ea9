// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Learning rate schedules, transformers.optimization's formulas.

#include <cstdint>
#include <string>

namespace qe {

/// The factor f(s) of the learning rate at update `step` (0-based) of `total`, with `warmup`
/// updates of linear warm-up. name: linear, constant (ignores the warm-up), constant_with_warmup,
/// cosine.
double lr_factor(const std::string& name, int64_t step, int64_t warmup, int64_t total);

}  // namespace qe
