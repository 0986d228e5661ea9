// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "kernels/core/error.h"

namespace qe {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a pipe that has no writer must fail the check below, not hang.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  QE_CHECK(file >= 0, path, ": cannot open: ", std::strerror(errno));
  struct stat status;
  const bool known = ::fstat(file, &status) == 0;
  std::string problem;
  if (!known) {
    problem = std::strerror(errno);
  } else if (!S_ISREG(status.st_mode)) {
    problem = S_ISDIR(status.st_mode) ? "is a folder, expected a file" : "is not a regular file";
  } else if (status.st_size > 0) {
    size_ = static_cast<size_t>(status.st_size);
    void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
      problem = cat("cannot map ", size_, " bytes: ", std::strerror(errno));
    } else {
      data_ = static_cast<const std::byte*>(data);
    }
  }
  ::close(file);
  QE_CHECK(problem.empty(), path, ": ", problem);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop_pages(size_t begin, size_t end) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  begin = begin / page * page;
  end = std::min(end, size_);
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

bool file_exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode);
}

bool folder_exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void check_stays_inside(const std::string& folder, const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path home = fs::canonical(folder, error);
  const fs::path target = error ? fs::path() : fs::canonical(fs::path(folder) / name, error);
  QE_CHECK(!error, folder, ": cannot follow \"", name, "\": ", error.message());
  const auto is_in = [&](const fs::path& parent) {
    const auto [end, rest] =
        std::mismatch(parent.begin(), parent.end(), target.begin(), target.end());
    return end == parent.end() && rest != target.end();
  };
  // models--NAME/snapshots/REVISION/FILE links to models--NAME/blobs/HASH.
  const fs::path snapshots = home.parent_path();
  const bool in_cache =
      snapshots.filename() == "snapshots" && is_in(snapshots.parent_path() / "blobs");
  QE_CHECK(is_in(home) || in_cache, folder, ": \"", name,
           "\" is a link that leaves the folder, to ", target.string());
}

}  // namespace qe
