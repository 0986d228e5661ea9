// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/vocab.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::string json_error(const std::string& text) {
  return error_of([&] { Vocab::from_json(Json::parse(text, "t.json")); });
}

TEST_CASE("a vocabulary from JSON may have holes") {
  const Vocab vocab = Vocab::from_json(Json::parse(R"({"b": 5, "": 0, "é": 2})", "t.json"));
  CHECK(vocab.size() == 3);
  CHECK(vocab.id_end() == 6);
  CHECK(vocab.id("b") == 5);
  CHECK(vocab.id("") == 0);
  CHECK(vocab.id("c") == std::nullopt);
  CHECK(*vocab.token(2) == "é");
  for (const int32_t id : {-1, 1, 3, 6}) CHECK(vocab.token(id) == nullptr);
}

TEST_CASE("bad ids are refused with their place") {
  CHECK(json_error(R"({"a": 1, "b": 1})") == "t.json: /b: id 1 is already that of \"a\"");
  CHECK(json_error(R"({"a": -1})") == "t.json: /a: expected a token id from 0 to 16777215, got -1");
  CHECK(json_error(R"({"a": 16777216})").find("t.json: /a: expected a token id") == 0);
  CHECK(json_error(R"({"a": 1e99})").find("t.json: /a") == 0);
  CHECK(json_error(R"({"a": 1.5})").find("t.json: /a") == 0);
  CHECK(json_error(R"({"a": "1"})").find("t.json: /a") == 0);
  CHECK(json_error(R"(["a"])").find("t.json") == 0);
}

TEST_CASE("lines end as Python's text files do, and nothing else is stripped") {
  const TemporaryFolder folder;
  const Vocab vocab = Vocab::from_lines(folder.write("v", "a\r\nb \n\n\u00A0\rd\u2028e\nlast"));
  const std::vector<std::string> expected = {"a", "b ", "", "\u00A0", "d\u2028e", "last"};
  CHECK(vocab.size() == 6);
  for (size_t id = 0; id < expected.size(); ++id) {
    CHECK(*vocab.token(static_cast<int32_t>(id)) == expected[id]);
    CHECK(vocab.id(expected[id]) == static_cast<int32_t>(id));
  }
}

TEST_CASE("of equal lines the last has the token") {
  const TemporaryFolder folder;
  const Vocab vocab = Vocab::from_lines(folder.write("v", "\na\n\na\n"));
  CHECK(vocab.size() == 2);
  CHECK(vocab.id_end() == 4);
  CHECK(vocab.id("") == 2);
  CHECK(vocab.id("a") == 3);
  CHECK(vocab.token(0) == nullptr);
  CHECK(vocab.token(1) == nullptr);
}

TEST_CASE("files that are no vocabulary are refused") {
  const TemporaryFolder folder;
  const auto error = [&](std::string_view content) {
    return error_of([&] { Vocab::from_lines(folder.write("v", content)); });
  };
  CHECK(error("") == folder.path() + "/v: expected one token per line, the file is empty");
  CHECK(error("a\nb\xC3") == folder.path() + "/v: invalid UTF-8 at byte 3, line 2");
  CHECK(error_of([&] { Vocab::from_lines(folder.path() + "/none"); }).find("none") !=
        std::string::npos);
}

}  // namespace
}  // namespace qe
