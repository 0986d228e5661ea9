// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Tensors in a file, whichever container holds them: what readers of weights see.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/mapped_file.h"
#include "kernels/core/dtype.h"

namespace qe {

/// One stored tensor, C order, little-endian. `bytes` points into the file's mapping (or what the
/// TensorFile owns) and need not be aligned for the dtype: copy with memcpy, or check alignment.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  const std::string* file = nullptr;  ///< path, for messages

  int64_t n_elements() const;
  /// All elements converted to fp32 (floating dtypes only).
  std::vector<float> to_f32() const;
};

/// Product of non-negative dimensions times the element size; false when int64 overflows.
bool size_of(std::span<const int64_t> shape, DType dtype, int64_t* n_bytes);

/// "[2, 3]"
std::string shape_text(std::span<const int64_t> shape);

/// A mapped file of tensors, read and checked by its constructor.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile(const TensorFile&) = delete;
  TensorFile& operator=(const TensorFile&) = delete;

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

 protected:
  /// Throws Error when there is no such file, or a Git LFS pointer in its place.
  explicit TensorFile(const std::string& path);

  MappedFile file_;
  std::map<std::string, StoredTensor> tensors_;
};

/// A SafetensorsFile where the name ends in ".safetensors", else a TorchFile.
std::unique_ptr<TensorFile> open_tensor_file(const std::string& path);

}  // namespace qe
