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

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
/// An index of this size names about a million tensors.
constexpr size_t kMaxIndexBytes = size_t{1} << 27;

[[noreturn]] void fail_no_weights(const std::string& folder) {
  QE_CHECK(folder_exists(folder), folder, ": no such folder");
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    QE_CHECK(!file_exists((fs::path(folder) / pickle).string()), folder, ": only ", pickle,
             " is there, a Python pickle, which is not read; save the model as safetensors "
             "(save_pretrained does)");
  }
  fail(folder, ": no weights, expected ", kSingle, " or ", kIndex);
}

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
  const std::string single = (fs::path(folder) / kSingle).string();
  const std::string index_path = (fs::path(folder) / kIndex).string();
  if (file_exists(single)) {
    files_.push_back(std::make_unique<SafetensorsFile>(single));
    for (const auto& [name, tensor] : files_.back()->tensors()) tensors_.emplace(name, &tensor);
    return;
  }
  if (!file_exists(index_path)) fail_no_weights(folder);

  const Json index = Json::parse_file(index_path, kMaxIndexBytes);
  std::map<std::string, const SafetensorsFile*> shards;
  for (const auto& [name, shard] : index.at("weight_map").members()) {
    check_shard_name(shard);
    const SafetensorsFile*& file = shards[shard.as_string()];
    if (!file) {
      const std::string path = (fs::path(folder) / shard.as_string()).string();
      QE_CHECK(file_exists(path), shard.where(), ": there is no file ", path);
      check_stays_inside(folder, shard.as_string());
      file = files_.emplace_back(std::make_unique<SafetensorsFile>(path)).get();
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
