// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/manifest.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

/// A folder of two files and their manifest.
class Folder {
 public:
  Folder() {
    write("a.bin", std::string(5000, 'a'));
    write("b", "");
    write_manifest(path(), Json::object({{"step", 7}}));
  }
  std::string path() const { return temporary_.path() + "/folder"; }
  void write(const std::string& name, std::string_view content) const {
    temporary_.write("folder/" + name, content);
  }
  std::string error() const {
    return error_of([&] { check_manifest(path()); });
  }

 private:
  TemporaryFolder temporary_;
};

}  // namespace

TEST_CASE("manifest: what was written is found again, beside other files") {
  const Folder folder;
  const Json manifest = check_manifest(folder.path());
  CHECK(manifest.at("step").as_int() == 7);
  CHECK(manifest.at("files").members().size() == 2);
  CHECK(manifest.at("files").at("a.bin").at("bytes").as_int() == 5000);
  folder.write("later.svg", "x");
  CHECK(folder.error() == "");
}

TEST_CASE("manifest: every kind of damage is named") {
  const auto damaged = [](const auto& damage) {
    const Folder folder;
    damage(folder);
    const std::string error = folder.error();
    REQUIRE(error.starts_with(folder.path()));
    return error.substr(folder.path().size());
  };
  CHECK(damaged([](const Folder& f) { fs::remove(f.path() + "/b"); }) == "/b: is missing");
  CHECK(damaged([](const Folder& f) { f.write("a.bin", std::string(4999, 'a')); }) ==
        "/a.bin: expected 5000 bytes, found 4999");
  CHECK(damaged([](const Folder& f) { f.write("b", "x"); }) == "/b: expected 0 bytes, found 1");
  for (const size_t at : {size_t{0}, size_t{2500}, size_t{4999}}) {
    CHECK(damaged([&](const Folder& f) {
            std::string content(5000, 'a');
            content[at] = 'b';
            f.write("a.bin", content);
          }) == "/a.bin: its content is not what was written (hashes differ)");
  }
  CHECK(damaged([](const Folder& f) {
          fs::remove(f.path() + "/b");
          fs::create_symlink("a.bin", f.path() + "/b");
        }) == "/b: is missing");
  CHECK(damaged([](const Folder& f) { fs::remove(f.path() + "/manifest.json"); }) ==
        ": there is no manifest.json: it was not finished, or made by something else");
  const auto with = [&](const std::string& text) {
    return damaged([&](const Folder& f) { f.write("manifest.json", text); });
  };
  CHECK(with(R"({"format": 2, "files": {}})") == "/manifest.json: expected format 1, got 2");
  CHECK(with(R"({"format": 1, "files": {"../a": {}}})") ==
        "/manifest.json: \"../a\" is not the name of a file in this folder");
  CHECK(with(R"({"format": 1)").starts_with("/manifest.json"));
  CHECK(with("").starts_with("/manifest.json"));
  CHECK(with(R"({"format": 1, "files": {"b": {"bytes": 0}}})").starts_with("/manifest.json"));
}

}  // namespace qe
