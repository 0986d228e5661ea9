// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/text_stream.h"

#include <doctest/doctest.h>

#include "tests/support/dataset.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::vector<std::string> lines_of(const std::string& content, size_t piece,
                                  size_t max_bytes = kMaxRowBytes) {
  TextStream text(std::make_unique<PieceStream>(content, piece), "a.txt");
  LineReader reader(text, max_bytes);
  std::vector<std::string> lines;
  for (std::string_view line; reader.next(line);) {
    lines.emplace_back(line);
    CHECK(reader.number() == static_cast<int64_t>(lines.size()));
  }
  return lines;
}

TEST_CASE("lines do not depend on how the bytes arrive") {
  using Lines = std::vector<std::string>;
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{4}, SIZE_MAX}) {
    CAPTURE(piece);
    CHECK(lines_of("", piece).empty());
    CHECK(lines_of("\xEF\xBB\xBF", piece).empty());
    CHECK(lines_of("\xEF\xBB\xBF\xEF\xBB\xBF\n", piece) == Lines{"\xEF\xBB\xBF"});
    CHECK(lines_of("\xEF\xBB", piece) == Lines{"\xEF\xBB"});
    CHECK(lines_of("a\n\nb\r\n\r\r\nlast", piece) == Lines{"a", "", "b", "\r", "last"});
    CHECK(lines_of("abcd\nabc\n", piece, 4) == Lines{"abcd", "abc"});
    CHECK(error_of([&] { lines_of("abcd\nabcde\n", piece, 4); }) ==
          "a.txt:2: the row that begins here is longer than 0 MiB");
    CHECK(error_of([&] { lines_of("abcd\nabcde", piece, 4); }) ==
          "a.txt:2: the row that begins here is longer than 0 MiB");
  }
}

TEST_CASE("files that cannot be read are named") {
  const TemporaryFolder folder;
  CHECK(error_of([&] { TextStream(folder.path() + "/none.txt"); }) ==
        folder.path() + "/none.txt: cannot open: No such file or directory");
  folder.write("folder.txt/file", "");
  CHECK(error_of([&] { TextStream(folder.path() + "/folder.txt"); }) ==
        folder.path() + "/folder.txt: is a folder, expected a file");
  const std::string known =
      "\"; known: .txt, .jsonl, .json, .csv, .tsv, each also with .gz or .zst behind it";
  CHECK(error_of([] { TextStream("a.orc"); }) == "a.orc: unknown file type \".orc" + known);
  CHECK(error_of([] { TextStream("b/a.gz"); }) == "b/a.gz: unknown file type \".gz" + known);
  CHECK(error_of([] { TextStream("b.txt/a"); }) == "b.txt/a: unknown file type \"" + known);
}

}  // namespace
}  // namespace qe
