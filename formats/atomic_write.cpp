// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/atomic_write.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

/// One write(2) takes at most 2 GiB on Linux; stay below.
constexpr size_t kMaxWrite = size_t{1} << 30;
/// Names of leftovers of a killed run are skipped, so few attempts are ever needed.
constexpr int kMaxAttempts = 100;

[[noreturn]] void fail_errno(const std::string& path, const char* what) {
  const int error = errno;
  fail(path, ": cannot ", what, ": ", std::strerror(error));
}

/// The folder that holds `path`, for fsync and temporary names.
fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

constexpr const char* kTemporary = ".tmp-";

/// A hidden name beside `path`, new with every call.
std::string temporary_name(const fs::path& path) {
  static std::atomic<unsigned> counter{0};
  const std::string name =
      cat('.', path.filename().string(), kTemporary, ::getpid(), '-', counter.fetch_add(1));
  return (parent_of(path) / name).string();
}

/// Whether temporary_name made `name`, for a file of that prefix, in a process that is no more; in
/// a container it may have had the number that this one has.
bool is_leftover(const std::string& name, const std::string& prefix) {
  if (!name.starts_with("." + prefix)) return false;
  const size_t at = name.rfind(kTemporary);
  if (at == std::string::npos) return false;
  const char* const digits = name.data() + at + std::strlen(kTemporary);
  pid_t process = 0;
  const auto parsed = std::from_chars(digits, name.data() + name.size(), process);
  if (parsed.ec != std::errc() || process <= 0 || *parsed.ptr != '-') return false;
  return process == ::getpid() || (::kill(process, 0) != 0 && errno == ESRCH);
}

/// Writes all bytes; false with errno set on failure.
bool write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), std::min(bytes.size(), kMaxWrite));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

/// An open file that is closed and, until keep() is called, removed at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& beside) {
    for (int attempt = 0; attempt < kMaxAttempts && file_ < 0; ++attempt) {
      path_ = temporary_name(beside);
      file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (file_ < 0 && errno != EEXIST) break;
    }
    if (file_ < 0) fail_errno(beside.string(), "create a file beside it");
  }
  ~TemporaryFile() {
    if (file_ >= 0) ::close(file_);
    if (!kept_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  bool write(std::span<const std::byte> bytes) { return write_all(file_, bytes); }
  /// Brings the bytes to the disk and closes; false with errno set on failure.
  bool finish() {
    while (::fsync(file_) != 0) {
      if (errno != EINTR) return false;
    }
    return ::close(std::exchange(file_, -1)) == 0 || errno == EINTR;
  }
  void keep() { kept_ = true; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int file_ = -1;
  bool kept_ = false;
};

/// fsync of a file or folder by name. Some file systems cannot sync folders (EINVAL), and a folder
/// may be writable but not readable (EACCES): what was renamed is whole there as well.
void sync_path(const fs::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == EACCES) return;
  if (file < 0) fail_errno(path.string(), "open for fsync");
  int result = 0;
  do {
    result = ::fsync(file);
  } while (result != 0 && errno == EINTR);
  const int error = errno;
  ::close(file);
  if (result != 0 && error != EINVAL) {
    errno = error;
    fail_errno(path.string(), "fsync");
  }
}

/// fsync of everything inside a folder, then of the folder itself.
void sync_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const auto type = entry.symlink_status().type();
    if (type == fs::file_type::regular || type == fs::file_type::directory) sync_path(entry.path());
  }
  sync_path(folder);
}

/// Removes a folder at the end, whatever is in it by then.
struct RemoveAtEnd {
  std::string path;
  ~RemoveAtEnd() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

/// Puts `temporary` in the place of the folder `path`, which then (if there was one) has
/// `temporary`'s name.
void swap_in(const std::string& temporary, const fs::path& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) {
    if (::rename(temporary.c_str(), path.c_str()) == 0) return;
    fail_errno(path.string(), "rename the finished folder to it");
  }
  // An exchange leaves no moment without a folder of that name.
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0)
    return;
  if (errno != EINVAL && errno != ENOSYS) {
    fail_errno(path.string(), "exchange with the finished folder");
  }
  const std::string old = temporary + ".old";
  if (::rename(path.c_str(), old.c_str()) != 0) fail_errno(path.string(), "move the old folder");
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    if (::rename(old.c_str(), path.c_str()) != 0) {
      fail_errno(path.string(), cat("restore the old folder, now ", old).c_str());
    }
    errno = error;
    fail_errno(path.string(), "rename the finished folder to it");
  }
  if (::rename(old.c_str(), temporary.c_str()) != 0) fail_errno(old, "move the old folder");
}

}  // namespace

void write_file_atomically(const std::string& path,
                           const std::function<void(const Append&)>& produce) {
  std::error_code ignored;
  const fs::file_type type = fs::status(path, ignored).type();
  QE_CHECK(type != fs::file_type::directory, path, ": is a folder, expected a file name");
  // A rename would replace a device or pipe by a file.
  QE_CHECK(type == fs::file_type::regular || !fs::exists(fs::file_status(type)), path,
           ": is not a regular file");
  TemporaryFile file(path);
  produce([&](std::span<const std::byte> bytes) {
    if (!file.write(bytes)) fail_errno(path, "write");
  });
  if (!file.finish()) fail_errno(path, "write");
  if (::rename(file.path().c_str(), path.c_str()) != 0) fail_errno(path, "rename");
  file.keep();
  sync_path(parent_of(path));
}

void write_file_atomically(const std::string& path, std::string_view text) {
  write_file_atomically(path, [&](const Append& append) {
    append(std::as_bytes(std::span(text.data(), text.size())));
  });
}

void write_new_file(const std::string& path, const std::function<void(const Append&)>& produce) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file < 0) fail_errno(path, "create");
  try {
    produce([&](std::span<const std::byte> bytes) {
      if (!write_all(file, bytes)) fail_errno(path, "write");
    });
  } catch (...) {
    ::close(file);
    throw;
  }
  if (::close(file) != 0 && errno != EINTR) fail_errno(path, "write");
}

void require_writable_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  QE_CHECK(!error, path, ": cannot create the folder: ", error.message());
  QE_CHECK(fs::is_directory(path, error), path, ": is not a folder");
  const TemporaryFile probe(fs::path(path) / "probe");
}

void remove_folder(const std::string& path) {
  const std::string hidden = temporary_name(fs::path(path).lexically_normal());
  if (::rename(path.c_str(), hidden.c_str()) != 0) fail_errno(path, "rename for its removal");
  std::error_code error;
  fs::remove_all(hidden, error);
  QE_CHECK(!error, hidden, ": cannot remove: ", error.message());
}

void remove_leftovers(const std::string& folder, const std::string& prefix) {
  std::error_code error, ignored;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (is_leftover(entry->path().filename().string(), prefix)) {
      fs::remove_all(entry->path(), ignored);
    }
  }
}

void write_folder_atomically(const std::string& path,
                             const std::function<void(const std::string& temporary)>& fill) {
  fs::path target = fs::path(path).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "name/"
  QE_CHECK(target.has_filename() && target.filename() != "..", path, ": not a folder name");
  std::error_code ignored;
  QE_CHECK(!fs::exists(target, ignored) || fs::is_directory(target, ignored), path,
           ": exists and is not a folder");
  std::string temporary;
  int result = -1;
  for (int attempt = 0; attempt < kMaxAttempts && result != 0; ++attempt) {
    temporary = temporary_name(target);
    result = ::mkdir(temporary.c_str(), 0777);
    if (result != 0 && errno != EEXIST) break;
  }
  if (result != 0) fail_errno(path, "create a folder beside it");
  const RemoveAtEnd cleanup{temporary};
  fill(temporary);
  try {
    sync_tree(temporary);
  } catch (const fs::filesystem_error& error) {
    fail(path, ": cannot write: ", error.code().message());
  }
  swap_in(temporary, target);
  sync_path(parent_of(target));
}

}  // namespace qe
