// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A file mapped read-only into memory.

#include <cstddef>
#include <span>
#include <string>

namespace qe {

/// Move-only owner of a read-only private mapping. Throws Error naming the path when the file
/// cannot be opened or is no regular file. An empty file maps to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  /// Gives back the memory of pages in [begin, end) that were read: who reads a file once, front to
  /// back, need not hold it. They can be read again.
  void drop_pages(size_t begin, size_t end) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// True when something other than a folder has this name. Never throws.
bool file_exists(const std::string& path);
/// True when a folder has this name. Never throws.
bool folder_exists(const std::string& path);

/// Throws Error, naming both ends, when `name` in `folder` is a link to something outside of it.
/// For files that another file names, or that came with an adapter: a folder from elsewhere must
/// not make us read what is not in it. Links into the "blobs" of a Hugging Face cache are fine.
void check_stays_inside(const std::string& folder, const std::string& name);

}  // namespace qe
