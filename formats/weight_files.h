// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json
// names (which must be plain file names inside the folder).

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/safetensors.h"

namespace qe {

class WeightFiles {
 public:
  /// Opens all files of the folder. Throws Error when there are none (naming what was looked for,
  /// and pointing at pytorch_model.bin when only that is there), when a shard is missing or its
  /// name, or a link of that name, leaves the folder, or when an index names a tensor that its
  /// shard lacks.
  explicit WeightFiles(const std::string& folder);

  /// The tensor, or null.
  const StoredTensor* find(const std::string& name) const;
  const std::map<std::string, const StoredTensor*>& tensors() const { return tensors_; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const StoredTensor*> tensors_;
};

}  // namespace qe
