// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/mapped_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

TEST_CASE("MappedFile gives the file's bytes and survives moves") {
  const TemporaryFolder folder;
  const std::string path = folder.write("data.bin", std::string("ab\0cd", 5));
  MappedFile file(path);
  CHECK(file.path() == path);
  REQUIRE(file.bytes().size() == 5);
  CHECK(file.bytes()[3] == std::byte{'c'});
  const std::byte* data = file.bytes().data();
  MappedFile moved = std::move(file);
  CHECK(moved.bytes().data() == data);
  CHECK(file.bytes().empty());
  MappedFile other(folder.write("other.bin", "z"));
  other = std::move(moved);
  CHECK(other.bytes().size() == 5);
  CHECK(other.path() == path);
}

TEST_CASE("MappedFile of an empty file is an empty span") {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("empty", ""));
  CHECK(file.bytes().empty());
}

TEST_CASE("MappedFile refuses what is no regular file, by name") {
  const TemporaryFolder folder;
  CHECK(error_of([&] { MappedFile(folder.path() + "/none"); }) ==
        folder.path() + "/none: cannot open: No such file or directory");
  CHECK(error_of([&] { MappedFile file(folder.path()); }) ==
        folder.path() + ": is a folder, expected a file");
  const std::string fifo = folder.path() + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(error_of([&] { MappedFile file(fifo); }) == fifo + ": is not a regular file");
}

}  // namespace
}  // namespace qe
