// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/weight_files.h"

#include <filesystem>

#include "formats/json.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

/// In the order of preference; indices are followed.
constexpr const char* kFiles[] = {"model.safetensors", "model.safetensors.index.json",
                                  "pytorch_model.bin", "pytorch_model.bin.index.json"};
/// An index of this size names about a million tensors.
constexpr size_t kMaxIndexBytes = size_t{1} << 27;

/// A shard's name must be the name of a file in the folder itself.
void check_shard_name(const Json& value) {
  const std::string& name = value.as_string();
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
  QE_CHECK(plain, value.where(), ": expected the name of a file in the same folder, got ",
           value.dump());
}

}  // namespace

WeightFiles::WeightFiles(const std::string& folder) : folder_(folder) {
  for (const std::string name : kFiles) {
    const std::string path = (fs::path(folder) / name).string();
    if (!file_exists(path)) continue;
    if (name.ends_with(".index.json")) {
      open_shards(path);
      return;
    }
    names_.push_back(name);
    files_.push_back(open_tensor_file(path));
    for (const auto& [key, tensor] : files_.back()->tensors()) tensors_.emplace(key, &tensor);
    return;
  }
  QE_CHECK(folder_exists(folder), folder, ": no such folder");
  for (const char* other : {"tf_model.h5", "flax_model.msgpack", "model.ckpt.index"}) {
    QE_CHECK(
        !file_exists((fs::path(folder) / other).string()), folder, ": only ", other,
        " is there, another framework's weights; save the model as safetensors (transformers' ",
        "save_pretrained does)");
  }
  std::string expected;
  for (const char* name : kFiles) expected += cat(expected.empty() ? "" : ", ", name);
  fail(folder, ": no weights, expected one of ", expected);
}

void WeightFiles::open_shards(const std::string& index) {
  const Json json = Json::parse_file(index, kMaxIndexBytes);
  std::map<std::string, const TensorFile*> shards;
  for (const auto& [name, shard] : json.at("weight_map").members()) {
    check_shard_name(shard);
    const TensorFile*& file = shards[shard.as_string()];
    if (!file) {
      const std::string path = (fs::path(folder_) / shard.as_string()).string();
      QE_CHECK(file_exists(path), shard.where(), ": there is no file ", path);
      check_stays_inside(folder_, shard.as_string());
      names_.push_back(shard.as_string());
      file = files_.emplace_back(open_tensor_file(path)).get();
    }
    const auto found = file->tensors().find(name);
    QE_CHECK(found != file->tensors().end(), shard.where(), ": ", shard.as_string(),
             " has no such tensor");
    tensors_.emplace(name, &found->second);
  }
}

const StoredTensor* WeightFiles::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

}  // namespace qe
