// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/pooling.h"

namespace qe::cuda {

void sequence_mean(Context& ctx, const SequenceMean& args);

}  // namespace qe::cuda
