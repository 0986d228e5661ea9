// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/hash.h"

#include <doctest/doctest.h>

#include <cstring>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::string hash_text(std::string_view text) {
  return hash_bytes(std::as_bytes(std::span(text.data(), text.size())));
}

TEST_CASE("hash_bytes is XXH3-128 in the order xxhsum prints it") {
  CHECK(hash_bytes({}) == "99aa06d3014798d86001c324468d497f");
  CHECK(hash_text("abc") == "06b05ab6733a618578af5f94892f3950");
  CHECK(hash_text(std::string(1000, 'x')) != hash_text(std::string(1001, 'x')));
}

TEST_CASE("hash_file hashes the content") {
  const TemporaryFolder folder;
  CHECK(hash_file(folder.write("a", "abc")) == hash_text("abc"));
  CHECK(hash_file(folder.write("empty", "")) == hash_bytes({}));
  CHECK(error_of([&] { hash_file(folder.path() + "/none"); }).starts_with(folder.path() + "/none"));
}

}  // namespace
}  // namespace qe
