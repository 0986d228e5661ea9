// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/topk.h"

namespace qe::cuda {

void topk(Context& ctx, const TopK& args);

}  // namespace qe::cuda
