// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A 4-bit weight as bitsandbytes stores it in safetensors. Beside `M.weight` (the packed codes, in
// one column of any storage type) stand
//   M.weight.absmax                   block scales: F32, or U8 codes when they are quantized too
//   M.weight.quant_map                F32 (16), the values of the codes
//   M.weight.nested_absmax            F32, a scale per 256 codes    | only where the
//   M.weight.nested_quant_map         F32 (256), what the codes say | scales are codes
//   M.weight.quant_state.bitsandbytes__nf4 (or __fp4)   UTF-8 JSON: shape, block size, dtype ...
// Which weights are quantized is what the tensors say, not config.json.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "formats/safetensors.h"
#include "kernels/core/quant_codebook.h"

namespace qe {

/// Block scales per nested scale.
inline constexpr int64_t kNestedBlock = 256;

/// A 4-bit (N, K) weight as the bytes of its parts, in a mapped file (then checked, and unaligned)
/// or in memory.
struct StoredQuant4 {
  Quant4Type type = Quant4Type::kNf4;
  int64_t n = 0, k = 0;
  int64_t block_size = 64;
  DType dtype = DType::kF32;                 ///< what dequantization yields: F32, F16 or BF16
  std::span<const std::byte> codes;          ///< (N K + 1) / 2 bytes
  std::span<const std::byte> absmax;         ///< plain: n_blocks() fp32
  std::span<const std::byte> absmax_u8;      ///< nested: n_blocks() codes
  std::span<const std::byte> nested_absmax;  ///< nested: fp32
  std::span<const std::byte> nested_map;     ///< nested: 256 fp32
  float nested_offset = 0.0f;

  bool nested() const { return !nested_map.empty(); }
  int64_t n_blocks() const { return (n * k + block_size - 1) / block_size; }
  int64_t n_nested_blocks() const { return (n_blocks() + kNestedBlock - 1) / kNestedBlock; }
};

/// Finds a stored tensor by name; null when there is none.
using TensorLookup = std::function<const StoredTensor*(const std::string& name)>;

/// The 4-bit weight of this name, or nothing when it is stored otherwise. Throws Error naming file
/// and tensor for anything bitsandbytes would not have written: missing or surplus parts, sizes
/// that do not fit shape and block size, unknown keys or values in the JSON, another code table,
/// scales that are not finite.
std::optional<StoredQuant4> find_quant4(const TensorLookup& find, const std::string& weight);

/// Whether `name` is one of the tensors beside a 4-bit weight; if so, the weight's name.
std::optional<std::string_view> quant4_weight_of(std::string_view name);

/// Whether bitsandbytes may hold 4-bit codes in elements of this type (bnb_4bit_quant_storage).
bool is_quant4_storage(DType dtype);

/// Names, types and JSON of a 4-bit weight's tensors, as bitsandbytes writes them. Views of `q`'s
/// memory and its own: both must live until the file is written.
class Quant4Tensors {
 public:
  /// storage: the type of the codes' tensor.
  Quant4Tensors(const std::string& weight, const StoredQuant4& q, DType storage);
  Quant4Tensors(const Quant4Tensors&) = delete;
  Quant4Tensors& operator=(const Quant4Tensors&) = delete;
  const std::vector<TensorToWrite>& tensors() const { return tensors_; }

 private:
  std::string state_;
  std::vector<TensorToWrite> tensors_;
};

}  // namespace qe
