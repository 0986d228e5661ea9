// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/adamw.h"

namespace qe::cuda {

void adamw_step(Context& ctx, const AdamwSpan& args);

}  // namespace qe::cuda
