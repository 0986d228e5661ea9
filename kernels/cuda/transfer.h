// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/transfer.h"

namespace qe::cuda {

void copy_mapped(Context& ctx, void* to, const void* from, size_t n_bytes);
void cast(Context& ctx, const Tensor& x, const Tensor& y);

}  // namespace qe::cuda
