// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/string_table.h"

#include <doctest/doctest.h>

#include <unordered_map>

#include "formats/tokenizer/probing.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

TEST_CASE("a table finds what was inserted and nothing else") {
  StringTable table;
  CHECK(table.find("") == StringTable::kNotFound);
  std::unordered_map<std::string, int32_t> expected;
  for (int32_t i = 0; i < 5000; ++i) expected[std::to_string(i * 7919 % 5003)] = i;
  for (const auto& [text, id] : expected) CHECK(table.insert(text, id) == StringTable::kNotFound);
  CHECK(table.size() == expected.size());
  CHECK(table.longest() == 4);
  for (const auto& [text, id] : expected) {
    REQUIRE(table.find(text) == id);
    REQUIRE(table.find(text + " ") == StringTable::kNotFound);
  }
  CHECK(table.find("") == StringTable::kNotFound);
}

TEST_CASE("an id is replaced, the empty text is a text") {
  StringTable table;
  CHECK(table.insert("", 3) == StringTable::kNotFound);
  CHECK(table.insert("", 4) == 3);
  CHECK(table.find("") == 4);
  CHECK(table.size() == 1);
}

TEST_CASE("texts of one hash are found, and refused when there are too many") {
  std::vector<std::string> texts;
  for (int k = 0; texts.size() < 400; ++k) {
    const std::string text = std::to_string(k);
    if ((StringTable::hash(text) & 0x7FF) == 9) texts.push_back(text);
  }
  StringTable table;
  size_t n = 0;
  const std::string error = error_of([&] {
    for (; n < texts.size(); ++n) table.insert(texts[n], static_cast<int32_t>(n));
  });
  CHECK(error == "more than 256 tokens or merge rules of one hash value");
  CHECK(n == kMaxProbes);
  for (size_t k = 0; k < texts.size(); ++k) {
    CHECK(table.find(texts[k]) == (k < n ? static_cast<int32_t>(k) : StringTable::kNotFound));
  }
}

TEST_CASE("hashes can be computed step by step") {
  const std::string text = "wörd";
  uint64_t state = StringTable::kHashSeed;
  for (size_t n = 0; n < text.size(); ++n) {
    CHECK(StringTable::finish(state) == StringTable::hash(text.substr(0, n)));
    state = StringTable::step(state, text[n]);
  }
}

}  // namespace
}  // namespace qe
