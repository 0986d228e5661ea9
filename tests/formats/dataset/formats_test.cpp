// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// All row formats against what Python's csv and json modules read
// (scripts/make_dataset_goldens.py).

#include <doctest/doctest.h>

#include <array>

#include "tests/support/dataset.h"

namespace qe {
namespace {

TEST_CASE("rows are those that Python's own readers give, however the bytes arrive") {
  const Json golden = Json::parse_file(QE_SOURCE_DIR "/tests/golden/dataset.json");
  CHECK(golden.items().size() > 50);
  for (const Json& one : golden.items()) {
    CAPTURE(one.at("name").as_string());
    const std::vector<Json>& expected = one.at("rows").items();
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, SIZE_MAX}) {
      CAPTURE(piece);
      const auto rows = rows_of(one.at("file").as_string(), one.at("content").as_string(), piece);
      REQUIRE(rows.size() == expected.size());
      for (size_t i = 0; i < rows.size(); ++i) CHECK(rows[i].first.dump() == expected[i].dump());
    }
  }
}

}  // namespace
}  // namespace qe
