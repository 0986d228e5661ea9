// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Random values for weights that no file holds, made where they are kept. A function of stream and
// index only: word i of a stream is splitmix64's finalizer of stream + i * 0x9e3779b97f4a7c15.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// Elements 2i and 2i + 1 (row-major) of `out` (T, C; F32, F16 or BF16, dense): the signed low and
/// high halves of word i, times limit / 2^31. Uniform in [-limit, limit), rounded once.
void random_uniform(Context& ctx, uint64_t stream, float limit, const Tensor& out);

/// Bytes 8i .. 8i + 7 of `out`, memory of the context's device: word i, lowest byte first.
void random_bytes(Context& ctx, uint64_t stream, std::span<uint8_t> out);

}  // namespace qe
