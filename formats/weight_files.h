// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The weights of a model folder: model.safetensors, the shards that model.safetensors.index.json
// names (which must be plain file names inside the folder), or the same of pytorch_model.bin.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace qe {

class WeightFiles {
 public:
  /// Opens all files of the folder; safetensors where there are both. Throws Error when there are
  /// none (naming what was looked for), when a shard is missing or its name, or a link of that
  /// name, leaves the folder, or when an index names a tensor that its shard lacks.
  explicit WeightFiles(const std::string& folder);

  /// The tensor, or null.
  const StoredTensor* find(const std::string& name) const;
  const std::map<std::string, const StoredTensor*>& tensors() const { return tensors_; }
  const std::string& folder() const { return folder_; }
  /// Names of the files in the folder.
  const std::vector<std::string>& names() const { return names_; }

 private:
  void open_shards(const std::string& index);

  std::string folder_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<TensorFile>> files_;
  std::map<std::string, const StoredTensor*> tensors_;
};

}  // namespace qe
