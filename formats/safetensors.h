// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The safetensors container (spec: 8-byte little-endian header length, JSON header, data).

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/atomic_write.h"
#include "formats/tensor_file.h"

namespace qe {

/// Reads and checks one file: header length, JSON, duplicate names, unknown dtypes, shape overflow,
/// sizes that do not match shapes, offsets that overlap, leave holes or leave the file. Throws
/// Error naming file and tensor. The data stays mapped.
class SafetensorsFile : public TensorFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::map<std::string, std::string> metadata_;
};

/// A tensor to be written: `data` is host memory of the tensor's whole size; or `produce` appends
/// its bytes when the file is there, so that not all tensors need be in memory at once.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
  std::function<void(const Append&)> produce = {};
};

/// Writes atomically and without a second copy of the data, byte for byte as the reference library
/// does: its order (types by descending size, then name), the header padded so that data is 8-byte
/// aligned, metadata {"format": "pt"}.
void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors);

}  // namespace qe
