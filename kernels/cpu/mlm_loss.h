// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/mlm_loss.h"

namespace qe::cpu {

void mlm_loss_rows(Context& ctx, const MlmLossRows& args);
void put_columns(Context& ctx, const ChosenColumns& args);
void take_columns(Context& ctx, const ChosenColumns& args);

}  // namespace qe::cpu
