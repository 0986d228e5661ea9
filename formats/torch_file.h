// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What torch.save writes for a state dict (pytorch_model.bin, adapter_model.bin): a zip archive of
// a pickle and the storages that its tensors are views of, or, before torch 1.6, one file of
// pickles with the storages after them.

#include <deque>

#include "formats/tensor_file.h"
#include "formats/torch_pickle.h"

namespace qe {

/// Reads and checks one file. Executes nothing (torch_pickle.h). Storages stay mapped; tensors may
/// share them, though not make the file 64 times as large, and those that are views with other
/// strides than C order's are copied, which is refused when it takes more memory than the file has
/// bytes. Throws Error naming the file, and
/// the tensor where there is one: whatever else the pickle holds or asks for, storages that are
/// missing or have another size, views that leave their storage, big-endian files.
class TorchFile : public TensorFile {
 public:
  explicit TorchFile(const std::string& path);

 private:
  using StorageBytes = std::vector<std::span<const std::byte>>;  // by TorchPickle's index
  void read_archive();
  void read_legacy(std::string_view text);
  void add_tensors(const TorchPickle& pickle, const StorageBytes& storages);
  std::span<const std::byte> view(const TorchPickle::Tensor& tensor, DType dtype,
                                  std::span<const std::byte> storage, const std::string& where);
  std::span<const std::byte> copy(const TorchPickle::Tensor& tensor, size_t element_size,
                                  std::span<const std::byte> storage, int64_t n_bytes,
                                  const std::string& where);

  std::deque<std::vector<std::byte>> copies_;
  size_t n_copied_ = 0;  // bytes
};

}  // namespace qe
