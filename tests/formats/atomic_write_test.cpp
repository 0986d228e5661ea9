// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/atomic_write.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

using Names = std::vector<std::string>;

/// Caps the size of files, as a full disk would: writes beyond fail with "File too large".
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t n_bytes) {
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{n_bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  sighandler_t old_handler_;
};

TEST_CASE("write_file_atomically writes, replaces, and leaves nothing beside") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/a.txt";
  write_file_atomically(path, "one");
  CHECK(content_of(path) == "one");
  write_file_atomically(path, [](const Append& append) {
    for (const char* part : {"two", "", " three"}) {
      append(std::as_bytes(std::span(part, std::strlen(part))));
    }
  });
  CHECK(content_of(path) == "two three");
  write_file_atomically(path, "");
  CHECK(content_of(path) == "");
  CHECK(names_in(folder.path()) == Names{"a.txt"});
  const mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK(fs::status(path).permissions() == static_cast<fs::perms>(0666 & ~mask));
}

TEST_CASE("write_file_atomically takes relative names") {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file_atomically("plain", "x");
  fs::current_path(before);
  CHECK(content_of(folder.path() + "/plain") == "x");
}

TEST_CASE("a write that fails keeps the old file and leaves nothing behind") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.txt", "old");
  {
    const FileSizeLimit limit(100000);
    const std::string text(250000, 'x');
    CHECK(error_of([&] { write_file_atomically(path, text); }) ==
          path + ": cannot write: File too large");
  }
  CHECK_THROWS_AS(write_file_atomically(path,
                                        [](const Append& append) {
                                          append(std::as_bytes(std::span("partial", 7)));
                                          throw std::out_of_range("from produce");
                                        }),
                  std::out_of_range);
  CHECK(content_of(path) == "old");
  CHECK(names_in(folder.path()) == Names{"a.txt"});
}

TEST_CASE("write_file_atomically names the path it cannot write") {
  const TemporaryFolder folder;
  const std::string missing = folder.path() + "/none/a.txt";
  CHECK(error_of([&] { write_file_atomically(missing, "x"); }) ==
        missing + ": cannot create a file beside it: No such file or directory");
  CHECK(error_of([&] { write_file_atomically(folder.path(), "x"); }) ==
        folder.path() + ": is a folder, expected a file name");
  const std::string fifo = folder.path() + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(error_of([&] { write_file_atomically(fifo, "x"); }) == fifo + ": is not a regular file");
  CHECK(fs::is_fifo(fifo));
  const std::string under_file = folder.write("f", "") + "/a.txt";
  CHECK(error_of([&] { write_file_atomically(under_file, "x"); }).find("Not a directory") !=
        std::string::npos);
}

TEST_CASE("require_writable_folder creates folders and refuses files") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/a/b/c";
  require_writable_folder(path);
  require_writable_folder(path);
  CHECK(fs::is_directory(path));
  CHECK(names_in(path).empty());
  const std::string file = folder.write("file", "");
  CHECK(error_of([&] { require_writable_folder(file); }).starts_with(file + ": "));
  CHECK(error_of([&] { require_writable_folder(file + "/x"); }).starts_with(file + "/x: "));
  if (::geteuid() != 0) {  // root may write anywhere
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(error_of([&] { require_writable_folder(path); }).find("Permission denied") !=
          std::string::npos);
    fs::permissions(path, fs::perms::owner_all);
  }
}

TEST_CASE("write_folder_atomically creates and replaces folders") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/checkpoint-1";
  const auto fill_with = [](const std::string& name) {
    return [name](const std::string& temporary) {
      fs::create_directory(temporary + "/sub");
      write_file_atomically(temporary + "/sub/" + name, "content of " + name);
    };
  };
  write_folder_atomically(path, fill_with("one"));
  CHECK(content_of(path + "/sub/one") == "content of one");
  write_folder_atomically(path + "/", fill_with("two"));
  CHECK(content_of(path + "/sub/two") == "content of two");
  CHECK(names_in(path + "/sub") == Names{"two"});
  CHECK(names_in(folder.path()) == Names{"checkpoint-1"});
}

TEST_CASE("a folder whose filling fails leaves the old one and nothing else") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/out";
  const auto failing = [](const std::string& temporary) {
    write_file_atomically(temporary + "/half", "x");
    fail("from fill");
  };
  CHECK(error_of([&] { write_folder_atomically(path, failing); }) == "from fill");
  CHECK(names_in(folder.path()).empty());
  folder.write("out/old", "kept");
  CHECK(error_of([&] { write_folder_atomically(path, failing); }) == "from fill");
  CHECK(content_of(path + "/old") == "kept");
  CHECK(names_in(folder.path()) == Names{"out"});
  {
    const FileSizeLimit limit(1000);
    const std::string error = error_of([&] {
      write_folder_atomically(path, [](const std::string& temporary) {
        write_file_atomically(temporary + "/big", std::string(5000, 'x'));
      });
    });
    CHECK(error.find("big: cannot write: File too large") != std::string::npos);
  }
  CHECK(names_in(path) == Names{"old"});
  CHECK(names_in(folder.path()) == Names{"out"});
}

TEST_CASE("write_folder_atomically refuses what is no folder name") {
  const TemporaryFolder folder;
  const auto nothing = [](const std::string&) {};
  const std::string file = folder.write("file", "x");
  CHECK(error_of([&] { write_folder_atomically(file, nothing); }) ==
        file + ": exists and is not a folder");
  CHECK(error_of([&] { write_folder_atomically("", nothing); }) == ": not a folder name");
  CHECK(error_of([&] { write_folder_atomically("/", nothing); }) == "/: not a folder name");
  CHECK(error_of([&] { write_folder_atomically("..", nothing); }) == "..: not a folder name");
  CHECK(error_of([&] {
          write_folder_atomically(folder.path() + "/none/x", nothing);
        }).find("cannot create a folder beside it: No such file or directory") !=
        std::string::npos);
  CHECK(content_of(file) == "x");
}

TEST_CASE("write_new_file: a new file, never one that is there") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/a";
  const std::string_view text = "some bytes";
  const auto write = [&](const Append& append) {
    append(std::as_bytes(std::span(text.data(), 4)));
    append(std::as_bytes(std::span(text.data() + 4, text.size() - 4)));
  };
  write_new_file(path, write);
  CHECK(content_of(path) == text);
  CHECK(error_of([&] { write_new_file(path, write); }) == path + ": cannot create: File exists");
  CHECK(content_of(path) == text);
  CHECK(error_of([&] {
          write_new_file("/dev/full", write);
        }).starts_with("/dev/full: cannot create"));
  CHECK_THROWS_AS(write_new_file(folder.path() + "/b", [](const Append&) { fail("no"); }), Error);
}

}  // namespace
}  // namespace qe
