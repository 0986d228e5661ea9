// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Element types, with the exact conversions between fp32 and the 16-bit floats. Safetensors names.
// The conversions are always inlined, so that no copy compiled for one instruction set is kept for
// another (kernels/cpu/simd.h).

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace qe {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool
};

/// Size of one element in bytes.
size_t dtype_size(DType dtype);
/// Safetensors name: "F32", "BF16", "U8" ...
std::string_view dtype_name(DType dtype);
/// The dtype of a safetensors name. Throws Error for names this project does not read.
DType dtype_from_name(std::string_view name);
/// What torch, and so config.json and bitsandbytes, call the type: "float32", "uint8" ...
std::string_view dtype_torch_name(DType dtype);
/// The dtype of such a name, or nothing.
std::optional<DType> dtype_from_torch_name(std::string_view name);
/// True for the types a weight may be stored in: F32, F16, BF16, F64.
bool is_floating(DType dtype);

/// bfloat16 bits of `value`, rounded to nearest even; NaN stays NaN.
[[gnu::always_inline]] constexpr uint16_t to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
[[gnu::always_inline]] constexpr float from_bf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

/// IEEE binary16 bits of `value`, rounded to nearest even; overflow gives infinity.
[[gnu::always_inline]] constexpr uint16_t to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 2^16 or more
  if (magnitude < 0x38800000u) {                        // subnormal result: let fp32 addition round
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}
[[gnu::always_inline]] constexpr float from_f16(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude < 0x400u) {
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
}

}  // namespace qe
