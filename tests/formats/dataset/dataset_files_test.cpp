// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/dataset_files.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Names = std::vector<std::string>;

TEST_CASE("dataset_files: a file, a folder, a pattern") {
  const TemporaryFolder folder;
  const std::string root = folder.path();
  const auto in = [&](Names names) {
    for (std::string& name : names) name = root + "/" + name;
    return names;
  };
  folder.write("b.txt", "b\n");
  folder.write("a.jsonl", "{\"text\": \"a\"}\n");
  folder.write("c.txt.gz", "");
  folder.write("README.md", "");
  folder.write(".hidden.txt", "");
  folder.write("inner/d.txt", "d\n");
  CHECK(dataset_files(root) == in({"a.jsonl", "b.txt", "c.txt.gz"}));
  CHECK(dataset_files(root + "/*.txt") == in({"b.txt"}));
  CHECK(dataset_files(root + "/*/?.txt") == in({"inner/d.txt"}));
  CHECK(dataset_files(root + "/[ab].*") == in({"a.jsonl", "b.txt"}));
  CHECK(dataset_files(root + "/b.txt") == in({"b.txt"}));
  folder.write("[x].txt", "");  // a file of that name comes before the pattern
  CHECK(dataset_files(root + "/[x].txt") == in({"[x].txt"}));
  CHECK(error_of([&] { dataset_files(root + "/*.csv"); }) == root + "/*.csv: no file matches");
  CHECK(error_of([&] { dataset_files(root + "/*.md"); }).find("unknown file type") !=
        std::string::npos);
  CHECK(error_of([&] {
          dataset_files(root + "/x.parquet");
        }).find("pandas.read_parquet(\"x.parq") != std::string::npos);
  folder.write("empty/README.md", "");
  CHECK(error_of([&] { dataset_files(root + "/empty"); }).find("no dataset file") !=
        std::string::npos);
}

TEST_CASE("read_files: rows of all files in order, until enough") {
  const TemporaryFolder folder;
  const Names files{folder.write("a.txt", "one\ntwo\n"),
                    folder.write("b.jsonl", "{\"text\": \"three\"}\n{broken\n")};
  Names rows;
  read_files(files, {}, [&](Record&& row, const std::string& file) {
    rows.push_back(file.substr(file.size() - 7) + " " + std::to_string(row.line) + " " + row.text);
    return rows.size() < 3;
  });
  CHECK(rows[0].ends_with("a.txt 1 one"));
  CHECK(rows[1].ends_with("a.txt 2 two"));
  CHECK(rows[2] == "b.jsonl 1 three");
  CHECK(rows.size() == 3);
  CHECK(error_of([&] {
          read_files(files, {}, [](Record&&, const std::string&) { return true; });
        }).find("b.jsonl:2") != std::string::npos);
}

}  // namespace
}  // namespace qe
