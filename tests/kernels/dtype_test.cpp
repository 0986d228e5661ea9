// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/dtype.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "kernels/core/error.h"

namespace qe {

TEST_CASE("dtype: names and sizes") {
  struct Row {
    DType dtype;
    const char* name;
    const char* torch_name;
    size_t size;
  };
  for (const Row row : {Row{DType::kF32, "F32", "float32", 4},
                        {DType::kF16, "F16", "float16", 2},
                        {DType::kBF16, "BF16", "bfloat16", 2},
                        {DType::kF64, "F64", "float64", 8},
                        {DType::kI64, "I64", "int64", 8},
                        {DType::kI32, "I32", "int32", 4},
                        {DType::kI16, "I16", "int16", 2},
                        {DType::kI8, "I8", "int8", 1},
                        {DType::kU64, "U64", "uint64", 8},
                        {DType::kU32, "U32", "uint32", 4},
                        {DType::kU16, "U16", "uint16", 2},
                        {DType::kU8, "U8", "uint8", 1},
                        {DType::kBool, "BOOL", "bool", 1}}) {
    CHECK(dtype_name(row.dtype) == row.name);
    CHECK(dtype_from_name(row.name) == row.dtype);
    CHECK(dtype_torch_name(row.dtype) == row.torch_name);
    CHECK(dtype_from_torch_name(row.torch_name) == row.dtype);
    CHECK(dtype_size(row.dtype) == row.size);
    CHECK(is_floating(row.dtype) == (row.name[0] == 'F' || row.name[1] == 'F'));
  }
  CHECK_THROWS_AS(dtype_from_name("F8_E4M3"), Error);
  CHECK_THROWS_AS(dtype_from_name("f32"), Error);
  CHECK(!dtype_from_torch_name("F32"));
  CHECK(!dtype_from_torch_name(""));
}

TEST_CASE("dtype: every binary16 value survives the way to fp32 and back") {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = from_f16(half);
    // sign * significand * 2^exponent, from the format's definition
    const int exponent = half >> 10 & 31;
    const int fraction = half & 1023;
    const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
      CHECK((fraction != 0 ? std::isnan(value)
                           : std::isinf(value) && std::signbit(value) == (sign < 0)));
      if (fraction != 0) {
        CHECK(std::isnan(from_f16(to_f16(value))));
        continue;
      }
    } else {
      const double want = exponent == 0 ? sign * std::ldexp(fraction, -24)
                                        : sign * std::ldexp(1024 + fraction, exponent - 25);
      if (double{value} != want) CHECK(double{value} == want);
    }
    if (to_f16(value) != half) CHECK(to_f16(value) == half);
  }
}

TEST_CASE("dtype: rounding to 16 bits is to the nearest, ties to even") {
  // Halfway between neighbours, and one fp32 step to each side, at every exponent of binary16.
  for (uint32_t low = 0; low < 0x7bffu; low += 7) {
    const float a = from_f16(static_cast<uint16_t>(low));
    const float b = from_f16(static_cast<uint16_t>(low + 1));
    const float middle = (a + b) * 0.5f;  // exact in fp32
    const uint16_t even = static_cast<uint16_t>(low + (low & 1));
    CHECK(to_f16(middle) == even);
    CHECK(to_f16(std::nextafter(middle, 0.0f)) == low);
    CHECK(to_f16(std::nextafter(middle, std::numeric_limits<float>::infinity())) == low + 1);
    CHECK(to_f16(-middle) == (even | 0x8000));
  }
  CHECK(to_f16(65519.996f) == 0x7bff);
  CHECK(to_f16(65520.0f) == 0x7c00);
  CHECK(to_f16(0x1p-25f) == 0);  // tie with zero
  CHECK(to_f16(0x1.000002p-25f) == 1);
  for (uint32_t low = 0x0001u; low < 0x7f7fu; low += 13) {
    const float a = from_bf16(static_cast<uint16_t>(low));
    const float middle = std::bit_cast<float>((low << 16) + 0x8000u);
    CHECK(to_bf16(a) == low);
    CHECK(to_bf16(middle) == low + (low & 1));
    CHECK(to_bf16(std::nextafter(middle, 0.0f)) == low);
    CHECK(to_bf16(std::nextafter(middle, std::numeric_limits<float>::infinity())) == low + 1);
  }
  CHECK(std::isnan(from_bf16(to_bf16(std::bit_cast<float>(0x7f800001u)))));
  CHECK(to_bf16(std::numeric_limits<float>::max()) == 0x7f80);  // rounds up to infinity
}

}  // namespace qe
