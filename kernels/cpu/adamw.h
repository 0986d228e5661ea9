// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/cpu/adamw_kernel.h"
#include "kernels/ops/adamw.h"

namespace qe::cpu {

AdamwConstants adamw_constants(const AdamwHyperparameters& hyperparameters, const StepState& step);

void adamw_step(Context& ctx, const AdamwSpan& args);

}  // namespace qe::cpu
