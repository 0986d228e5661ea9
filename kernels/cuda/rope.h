// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/rope.h"

namespace qe::cuda {

void rope(Context& ctx, const Rope& spec, const Tensor& x, bool back);

}  // namespace qe::cuda
