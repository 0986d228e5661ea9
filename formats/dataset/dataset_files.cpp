// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/dataset_files.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "formats/dataset/registry.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

/// Ends read_records from inside, where no more rows are wanted.
struct Enough {};

std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  const int result = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  QE_CHECK(result == 0 || result == GLOB_NOMATCH, pattern, ": cannot list what matches");
  std::erase_if(paths, [](const std::string& path) { return !file_exists(path); });
  QE_CHECK(!paths.empty(), pattern, ": no file matches");
  return paths;
}

bool is_dataset(const std::string& path) {
  try {
    dataset_file_type(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string path = entries->path().string();
    const bool hidden = entries->path().filename().string().starts_with('.');
    if (!hidden && file_exists(path) && is_dataset(path)) paths.push_back(path);
  }
  QE_CHECK(!error, folder, ": cannot list the folder: ", error.message());
  QE_CHECK(!paths.empty(), folder, ": no dataset file in the folder (.txt, .jsonl, .csv ...)");
  return paths;
}

}  // namespace

std::vector<std::string> dataset_files(const std::string& name) {
  std::vector<std::string> paths;
  if (folder_exists(name)) {
    paths = files_in(name);
  } else if (!file_exists(name) && name.find_first_of("*?[") != std::string::npos) {
    paths = matches_of(name);
  } else {
    paths = {name};
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) dataset_file_type(path);
  return paths;
}

void read_files(std::span<const std::string> files, const TextColumns& columns,
                const RowTake& take) {
  try {
    for (const std::string& file : files) {
      read_records(file, columns, [&](Record&& row) {
        if (!take(std::move(row), file)) throw Enough();
      });
    }
  } catch (const Enough&) {
  }
}

}  // namespace qe
