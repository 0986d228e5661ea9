// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/table.h"

#include <doctest/doctest.h>

using namespace qe::tools;

TEST_CASE("a table aligns by code points") {
  Table table("lr");
  table.add({"é", "1"});
  table.add({"abc", "200"});
  table.rule();
  table.add({"x"});
  CHECK(table.text(1) ==
        " é      1\n"
        " abc  200\n"
        " --------\n"
        " x\n");
}

TEST_CASE("sizes, durations, counts") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_bytes(uint64_t{80} << 30) == "80.0 GiB");
  CHECK(human_duration(6.6) == "0:07");
  CHECK(human_duration(125) == "2:05");
  CHECK(human_duration(3723) == "1:02:03");
  CHECK(human_count(7) == "7");
  CHECK(human_count(123) == "123");
  CHECK(human_count(1234567) == "1,234,567");
  CHECK(human_count(-123) == "-123");
  CHECK(human_count(-1234) == "-1,234");
}

TEST_CASE("text is cut between code points") {
  CHECK(fit_width("größe", 5) == "größe");
  CHECK(fit_width("größe", 4) == "grö…");
  CHECK(fit_width("größe", 3) == "gr…");
}
