// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/noise.h"

namespace qe::cuda {

void embedding_noise(Context& ctx, const EmbeddingNoise& args);

}  // namespace qe::cuda
