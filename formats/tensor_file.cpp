// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tensor_file.h"

#include <bit>
#include <cstring>

#include "formats/quote.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include "kernels/core/error.h"

static_assert(std::endian::native == std::endian::little, "stored tensors are little-endian");

namespace qe {
namespace {

template <class Bits, class Convert>
void convert(std::span<const std::byte> bytes, std::vector<float>& out, Convert to_float) {
  for (size_t i = 0; i < out.size(); ++i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof bits, sizeof bits);
    out[i] = to_float(bits);
  }
}

}  // namespace

bool size_of(std::span<const int64_t> shape, DType dtype, int64_t* n_bytes) {
  *n_bytes = 1;
  for (const int64_t dimension : shape) {
    if (__builtin_mul_overflow(*n_bytes, dimension, n_bytes)) return false;
  }
  return !__builtin_mul_overflow(*n_bytes, static_cast<int64_t>(dtype_size(dtype)), n_bytes);
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

int64_t StoredTensor::n_elements() const {
  return static_cast<int64_t>(bytes.size() / dtype_size(dtype));
}

std::vector<float> StoredTensor::to_f32() const {
  QE_CHECK(is_floating(dtype), file ? *file + ": " : "", "tensor ", quote(name),
           ": expected a floating type, got ", dtype_name(dtype));
  std::vector<float> out(static_cast<size_t>(n_elements()));
  switch (dtype) {
    case DType::kF32:
      if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      break;
    case DType::kF16:
      convert<uint16_t>(bytes, out, from_f16);
      break;
    case DType::kBF16:
      convert<uint16_t>(bytes, out, from_bf16);
      break;
    default:
      convert<double>(bytes, out, [](double x) { return static_cast<float>(x); });
  }
  return out;
}

TensorFile::TensorFile(const std::string& path) : file_(path) {
  const std::string_view text(reinterpret_cast<const char*>(file_.bytes().data()),
                              file_.bytes().size());
  QE_CHECK(!text.starts_with("version https://git-lfs."), path,
           ": is a Git LFS pointer: the weights themselves were not downloaded (git lfs pull)");
}

std::unique_ptr<TensorFile> open_tensor_file(const std::string& path) {
  if (path.ends_with(".safetensors")) return std::make_unique<SafetensorsFile>(path);
  return std::make_unique<TorchFile>(path);
}

}  // namespace qe
