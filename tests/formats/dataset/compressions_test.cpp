// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// .gz and .zst: files of gzip and zstd themselves (scripts/make_dataset_goldens.py), whole, cut at
// every byte and damaged.

#include <doctest/doctest.h>

#include "formats/dataset/text_reader.h"
#include "tests/support/dataset.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const std::string kGolden = QE_SOURCE_DIR "/tests/golden/dataset/";

std::vector<std::string> texts_of(const std::string& path) {
  std::vector<std::string> texts;
  read_records(path, {}, [&](Record&& record) { texts.push_back(std::move(record.text)); });
  return texts;
}

TEST_CASE("members and frames follow one another") {
  for (const char* name : {"lines.txt.gz", "lines.txt.zst"}) {
    const std::vector<std::string> texts = texts_of(kGolden + name);
    REQUIRE(texts.size() == 40000);
    for (size_t i = 0; i < texts.size(); ++i) {
      REQUIRE(texts[i] == cat("line ", i % 100, ", of many"));
    }
  }
  for (const char* name : {"small.csv.gz", "small.csv.zst"}) {
    CHECK(texts_of(kGolden + name) == std::vector<std::string>{"a, b", "c\nd"});
  }
}

TEST_CASE("files that are cut or damaged are refused with the byte") {
  const TemporaryFolder folder;
  for (const std::string extension : {".gz", ".zst"}) {
    CAPTURE(extension);
    const std::string whole = content_of(kGolden + "small.csv" + extension);
    const std::string kind = extension == ".gz" ? "gzip" : "zstd";
    const size_t n = std::min(whole.find(std::string(8, '\0')), whole.size());  // less the padding
    REQUIRE(n > 20);
    const std::string empty = folder.write("a.csv" + extension, "");
    CHECK(error_of([&] { texts_of(empty); }) == empty + ": empty, expected " + kind + " data");
    for (size_t cut = 1; cut < n - 3; ++cut) {
      const std::string path = folder.write("a.csv" + extension, whole.substr(0, cut));
      CHECK(error_of([&] { texts_of(path); }) == cat(path, ": truncated ", kind,
                                                     " data: the file ends at byte ", cut,
                                                     ", before the end of what it holds"));
    }
    // Any flipped bit is refused or (in header fields that nothing depends on) harmless.
    int n_refused = 0;
    for (size_t bit = 0; bit < 8 * n; ++bit) {
      std::string damaged = whole;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      const std::string path = folder.write("a.csv" + extension, damaged);
      std::vector<std::string> texts;
      const std::string message = error_of([&] { texts = texts_of(path); });
      CHECK((!message.empty() || texts == texts_of(kGolden + "small.csv" + extension)));
      CHECK((message.empty() || message.starts_with(path + ": ")));
      n_refused += !message.empty();
    }
    CHECK(n_refused > static_cast<int>(6 * n));
    const std::string path = folder.write("a.csv" + extension, whole.substr(0, n) + "no such");
    CHECK(error_of([&] { texts_of(path); }).find(" data at byte ") != std::string::npos);
    CHECK(error_of([&] {
            texts_of(folder.write("b.csv" + extension, "id,text\n1,2\n"));
          }).find(" data at byte ") != std::string::npos);
  }
}

}  // namespace
}  // namespace qe
