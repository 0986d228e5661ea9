// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Blockwise 4-bit quantization, byte-compatible with bitsandbytes: NF4 and FP4 (QLoRA, Dettmers et
// al. 2023, arXiv:2305.14314, section 3), plain or double quantization of the block scales.
//
// A weight (N, K) is flattened row-major, ignoring row boundaries; block b covers elements
// [b * block_size, (b + 1) * block_size), the last one may be short. Byte j holds elements 2j (high
// nibble) and 2j + 1. Double quantization stores the block scales as 8-bit codes: scale = map[code]
// * nested_absmax[b / 256] + offset.

#include <cstdint>
#include <string_view>

#include "kernels/core/context.h"
#include "kernels/core/quant_codebook.h"
#include "kernels/core/tensor.h"

namespace qe {

/// A quantized (N, K) matrix; a view, owns nothing. Exactly one of absmax and absmax_codes is set.
struct Quant4Matrix {
  Quant4Type type = Quant4Type::kNf4;
  int64_t n = 0;
  int64_t k = 0;
  int64_t block_size = 64;            ///< 32, 64, 128, ... 4096
  DType dtype = DType::kF32;          ///< decoded values are rounded to it once (F32, F16 or BF16)
  uint8_t* codes = nullptr;           ///< (n * k + 1) / 2 bytes
  float* absmax = nullptr;            ///< plain: (n_blocks)
  uint8_t* absmax_codes = nullptr;    ///< double quantization: (n_blocks)
  float* nested_absmax = nullptr;     ///< (ceil(n_blocks / 256))
  const float* nested_map = nullptr;  ///< (256), sorted ascending
  float nested_offset = 0.0f;
  /// GPU: the decoded matrix, (N, K) of the compute type, where there is memory to keep it beside
  /// the codes; else absent. Nothing depends on it but speed.
  Tensor expanded;
  /// Columns behind and rows below those of `expanded` where joined products (lora.h) may put B and
  /// A.
  int64_t expanded_room = 0;

  int64_t n_blocks() const { return (n * k + block_size - 1) / block_size; }
  int64_t n_code_bytes() const { return (n * k + 1) / 2; }
  int64_t n_nested_blocks() const { return (n_blocks() + 255) / 256; }
  bool nested() const { return absmax_codes != nullptr; }
};

/// Throws Error (naming `op`) unless q's sizes, block size and dtype are ones this project knows
/// and its pointers are there (they need not be while planning).
void check_quant4(const Context& ctx, std::string_view op, const Quant4Matrix& q);

/// Quantizes w (N, K; F32, F16 or BF16, contiguous) into `out`, whose buffers the caller owns and
/// whose shape, type and block size are set. Scales are plain when out.absmax is set; else double
/// quantization, which sets out.nested_offset and reads out.nested_map. Zero blocks get code 7
/// (NF4) or 0 (FP4). Throws Error, naming the element, when w holds NaN or infinity. Scratch: 4 *
/// n_blocks bytes when nested.
void quantize4(Context& ctx, const Tensor& w, Quant4Matrix& out);

/// out (N, K), F32, F16 or BF16: code[nibble] * scale in fp32, rounded once to q.dtype, then
/// converted to out's dtype.
void dequantize4(Context& ctx, const Quant4Matrix& q, const Tensor& out);

}  // namespace qe
