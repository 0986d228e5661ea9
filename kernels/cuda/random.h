// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/random.h"

namespace qe::cuda {

void random_uniform(Context& ctx, uint64_t stream, float limit, const Tensor& out);
void random_bytes(Context& ctx, uint64_t stream, std::span<uint8_t> out);

}  // namespace qe::cuda
