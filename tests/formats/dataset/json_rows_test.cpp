// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Lines and errors of .json and .jsonl; formats_test.cpp has the rows.

#include <doctest/doctest.h>

#include "tests/support/dataset.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::string error(const std::string& content) {
  const std::string whole = error_of([&] { rows_of("a.json", content); });
  for (const size_t piece : {1, 2, 5}) {
    CHECK(error_of([&] { rows_of("a.json", content, piece); }) == whole);
  }
  return whole;
}

TEST_CASE("rows know the line where they begin") {
  for (const size_t piece : {size_t{1}, SIZE_MAX}) {
    const auto array = rows_of("a.json", "\n[\n {\"a\":\n1}, {\n},\n\n{\"b\": 2}]", piece);
    REQUIRE(array.size() == 3);
    CHECK(array[0].second == 3);
    CHECK(array[1].second == 4);
    CHECK(array[2].second == 7);
    const auto lines = rows_of("a.json", " \n\n{\"a\": 1}\r\n\n {\"b\": 2}\n", piece);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].second == 3);
    CHECK(lines[1].second == 5);
  }
  CHECK(rows_of("a.json", "[ ]\n").empty());
  CHECK(rows_of("a.json", "").empty());
}

TEST_CASE("broken arrays are refused with file and line") {
  const std::string good = "[\n{\"text\": \"a\"},\n";
  CHECK(error(good) == "a.json:1: the array that begins here is not closed");
  CHECK(error(good + "{\"text\": \"b") == "a.json:1: the array that begins here is not closed");
  CHECK(error(good + "]") == "a.json:3: row 2: empty, expected a JSON value");
  CHECK(error("[,{}]") == "a.json:1: row 1: empty, expected a JSON value");
  CHECK(error(good + "{}] []") == "a.json:3: unexpected text after the array");
  CHECK(error(good + "{\"text\": }]").starts_with("a.json:3: row 2: column 10: "));
  CHECK(error(good + "{\"text\":\n }]").starts_with("a.json:3: row 2: line 2, column 2: "));
  CHECK(error(good + "{} {}]").starts_with("a.json:3: row 2: column 4: "));
  CHECK(error(good + "5]") == "a.json:3: row 2: expected an object, got 5");
  CHECK(error(good + "[\"b\"]]") == "a.json:3: row 2: expected an object, got [\"b\"]");
  CHECK(error(good + "{\"text\": 1]]").starts_with("a.json:3: row 2: "));
  CHECK(error("[\"a\", \"\xFF\"]") == "a.json:1: row 2: column 2: invalid UTF-8");
  CHECK(error("{\"a\": 1}\n[]") == "a.json:2: expected an object, got []");
}

TEST_CASE("a row has a limit, whatever the file holds") {
  const std::string huge((size_t{1} << 26) + 1, ' ');
  const std::string text = "the row that begins here is longer than 64 MiB";
  CHECK(error_of([&] { rows_of("a.json", "{}\n{" + huge, 1 << 18); }) == "a.json:2: " + text);
  CHECK(error_of([&] { rows_of("a.json", "{}\n{" + huge); }) == "a.json:2: " + text);
  CHECK(error_of([&] { rows_of("a.json", "[{},\n{" + huge, 1 << 18); }) == "a.json:2: " + text);
  CHECK(error_of([&] { rows_of("a.json", "[{},\n{" + huge); }) == "a.json:2: " + text);
}

}  // namespace
}  // namespace qe
