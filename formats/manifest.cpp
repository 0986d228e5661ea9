// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/manifest.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "formats/atomic_write.h"
#include "formats/hash.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";
constexpr int64_t kFormat = 1;

std::string path_in(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).string();
}

}  // namespace

void write_manifest(const std::string& folder, const Json& about) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  Json files = Json::object();
  for (const std::string& name : names) {
    if (name == kManifest) continue;
    const std::string path = path_in(folder, name);
    files.set(name, Json::object({{"bytes", static_cast<int64_t>(fs::file_size(path))},
                                  {"xxh3_128", hash_file(path)}}));
  }
  Json manifest = about;
  manifest.set("format", kFormat);
  manifest.set("files", files);
  write_file_atomically(path_in(folder, kManifest), manifest.dump(2, true) + "\n");
}

Json check_manifest(const std::string& folder) {
  const std::string path = path_in(folder, kManifest);
  QE_CHECK(file_exists(path), folder, ": there is no ", kManifest,
           ": it was not finished, or made by something else");
  Json manifest = Json::parse_file(path);
  const int64_t format = manifest.at("format").as_int();
  QE_CHECK(format == kFormat, path, ": expected format ", kFormat, ", got ", format);
  for (const auto& [name, file] : manifest.at("files").members()) {
    QE_CHECK(!name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos,
             path, ": ", Json(name).dump(), " is not the name of a file in this folder");
    const std::string listed = path_in(folder, name);
    std::error_code error;
    QE_CHECK(fs::is_regular_file(fs::symlink_status(listed, error)), listed, ": is missing");
    const auto n_bytes = static_cast<int64_t>(fs::file_size(listed, error));
    QE_CHECK(!error, listed, ": ", error.message());
    const int64_t expected = file.at("bytes").as_int();
    QE_CHECK(n_bytes == expected, listed, ": expected ", expected, " bytes, found ", n_bytes);
    QE_CHECK(hash_file(listed) == file.at("xxh3_128").as_string(), listed,
             ": its content is not what was written (hashes differ)");
  }
  return manifest;
}

}  // namespace qe
