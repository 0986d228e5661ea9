// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Lines and errors of .csv and .tsv; formats_test.cpp has the rows.

#include <doctest/doctest.h>

#include "tests/support/dataset.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::string error(const std::string& content) {
  const std::string whole = error_of([&] { rows_of("a.csv", content); });
  for (const size_t piece : {1, 2, 5}) {
    CHECK(error_of([&] { rows_of("a.csv", content, piece); }) == whole);
  }
  return whole;
}

TEST_CASE("a record's line is the one where it begins") {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const auto rows =
        rows_of("a.csv", "a,b" + end + end + "1,\"x\ny\r\nz\"" + end + "2,w" + end + "\"3\n\",v");
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].second == 3);
    CHECK(rows[1].second == 6);
    CHECK(rows[2].second == 7);
  }
}

TEST_CASE("cells are bytes as they are") {
  const std::string cell("\xFF\0\x01", 3);
  const auto rows = rows_of("a.tsv", "a\tb\n" + cell + "\t,\n");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].first.at("a").as_string() == cell);
  CHECK(rows[0].first.at("b").as_string() == ",");
}

TEST_CASE("broken tables are refused with file and line") {
  CHECK(error("a,b\n1,2\n1,2,3\n") == "a.csv:3: more than 2 fields, as the header has columns");
  CHECK(error("a,b\n1,2\n1\n") == "a.csv:3: 1 fields, the header has 2 columns");
  CHECK(error("a,b\n1,\"2\n\n3\n") == "a.csv:2: field 2: the quote that begins here is not closed");
  CHECK(error("a,b\n\"x\ny\",\"2\n\n3\n") ==
        "a.csv:3: field 2: the quote that begins here is not closed");
  CHECK(error("\"a") == "a.csv:1: field 1: the quote that begins here is not closed");
  CHECK(error("a,b\n1,\"2\n\"x\n") == "a.csv:3: field 2: text after the closing quote");
  CHECK(error("a,b,a\n") == "a.csv:1: two columns are named \"a\"");
  CHECK(error(std::string(1 << 16, ',')) == "a.csv:1: more than 65536 columns");
  CHECK(error("").empty());
}

}  // namespace
}  // namespace qe
