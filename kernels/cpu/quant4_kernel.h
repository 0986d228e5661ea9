// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Blockwise 4-bit quantization and dequantization as raw pointers, for the numeric code of the
// chosen instruction set.

#include <cstdint>

#include "kernels/core/quant_codebook.h"
#include "kernels/cpu/gemm_kernel.h"

namespace qe::cpu {

struct Quant4Encode {
  const void* w = nullptr;  ///< (n) of dtype
  DType dtype = DType::kF32;
  int64_t n = 0;
  int64_t block_size = 64;
  Quant4Type type = Quant4Type::kNf4;
  uint8_t* codes = nullptr;  ///< (n + 1) / 2
  float* absmax = nullptr;   ///< one per block
};

QE_PER_ISA(
    /// Quantizes blocks [block_begin, block_end). Returns the first element that is NaN or
    /// infinite, or -1.
    int64_t quant4_encode_blocks(const Quant4Encode& args, int64_t block_begin, int64_t block_end);
    /// Decodes elements [begin, end) of the flattened matrix to out[begin ...] of out_dtype; faster
    /// where begin is a multiple of 32.
    void quant4_decode_range(const Quant4View& q, int64_t begin, int64_t end, void* out,
                             DType out_dtype);)

}  // namespace qe::cpu
