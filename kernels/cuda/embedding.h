// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/embedding.h"

namespace qe::cuda {

void embedding_forward(Context& ctx, const EmbeddingForward& args);
void gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y);
void scatter_rows(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx,
                  GradientMode mode);

}  // namespace qe::cuda
