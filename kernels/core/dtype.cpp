// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/dtype.h"

#include "kernels/core/error.h"

namespace qe {
namespace {

struct Row {
  DType dtype;
  std::string_view name;
  std::string_view torch_name;
  size_t size;
};

constexpr Row kRows[] = {
    {DType::kF32, "F32", "float32", 4},    {DType::kF16, "F16", "float16", 2},
    {DType::kBF16, "BF16", "bfloat16", 2}, {DType::kF64, "F64", "float64", 8},
    {DType::kI64, "I64", "int64", 8},      {DType::kI32, "I32", "int32", 4},
    {DType::kI16, "I16", "int16", 2},      {DType::kI8, "I8", "int8", 1},
    {DType::kU64, "U64", "uint64", 8},     {DType::kU32, "U32", "uint32", 4},
    {DType::kU16, "U16", "uint16", 2},     {DType::kU8, "U8", "uint8", 1},
    {DType::kBool, "BOOL", "bool", 1},
};

const Row& row_of(DType dtype) { return kRows[static_cast<size_t>(dtype)]; }

}  // namespace

size_t dtype_size(DType dtype) { return row_of(dtype).size; }

std::string_view dtype_name(DType dtype) { return row_of(dtype).name; }

DType dtype_from_name(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  fail("unsupported tensor dtype \"", name, "\"");
}

std::string_view dtype_torch_name(DType dtype) { return row_of(dtype).torch_name; }

std::optional<DType> dtype_from_torch_name(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.torch_name == name) return row.dtype;
  }
  return {};
}

bool is_floating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64;
}

}  // namespace qe
