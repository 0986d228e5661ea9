// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/adamw8.h"

namespace qe::cuda {

void adamw8_step(Context& ctx, const Adamw8Span& args);

}  // namespace qe::cuda
