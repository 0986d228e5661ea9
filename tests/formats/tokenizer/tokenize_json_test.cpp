// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/tokenize_json.h"

#include <doctest/doctest.h>

#include "formats/json.h"
#include "formats/tokenizer/precompiled.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const char* const kExample = QE_SOURCE_DIR "/examples/tiny-mlm";

/// Members in one order, whatever order they came in.
std::string sorted(const Json& json) { return json.dump(-1, /*sort_keys=*/true); }

void write_files(const TemporaryFolder& folder, const Json& files) {
  for (const auto& [name, content] : files.members()) {
    std::string text = content.is_string() ? content.as_string() : content.dump();
    if (name.ends_with(".model")) text = decode_base64(text, name);
    folder.write(name, text);
  }
}

/// The members that the reference has; it may not know all of ours.
std::string same_members(const Json& answer, const Json& reference) {
  Json kept = Json::object();
  for (const auto& [name, value] : reference.members()) kept.set(name, answer.at(name));
  return sorted(kept);
}

// What the reference libraries answered (scripts/make_tokenizer_goldens.py and
// make_tokenizer_file_goldens.py).
void check_golden(const std::string& name) {
  const Json golden = Json::parse_file(QE_SOURCE_DIR "/tests/golden/" + name);
  for (const Json& one : golden.at("cases").items()) {
    CAPTURE(one.at("name").as_string());
    const TemporaryFolder folder;
    write_files(folder, one.at("files"));
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    CHECK(tokenizer.size() == one.at("size").as_int());
    for (const Json& item : one.at("encode").items()) {
      const std::string request = item.at("request").dump();
      const Json answer = Json::parse(tokenize_json_line(tokenizer, request, "line"), "answer");
      CAPTURE(request);
      CHECK(same_members(answer, item.at("answer")) == sorted(item.at("answer")));
    }
    for (const Json& item : one.at("decode").items()) {
      const std::string request = item.at("request").dump();
      const Json answer = Json::parse(decode_json_line(tokenizer, request, "line"), "answer");
      CAPTURE(request);
      CHECK(sorted(answer) == sorted(item.at("answer")));
    }
    if (const Json* mask = one.find("mask_id")) {
      CHECK(tokenizer.mask_id().value_or(-1) == (mask->is_null() ? -1 : mask->as_int()));
      for (int32_t id = 0; id < tokenizer.size(); ++id) {
        bool special = false;
        for (const Json& item : one.at("special_ids").items()) special |= item.as_int() == id;
        CHECK_MESSAGE(tokenizer.is_special(id) == special, "id " << id);
      }
    }
  }
}

TEST_CASE("small WordPiece tokenizers answer as the reference") {
  check_golden("tokenizer_wordpiece.json");
}

TEST_CASE("tokenizers without tokenizer.json answer as the reference") {
  check_golden("tokenizer_files.json");
}

TEST_CASE("a request line becomes an answer line") {
  const Tokenizer tokenizer = Tokenizer::load(kExample);
  CHECK(tokenize_json_line(tokenizer, R"({"text": "Hello!", "pair": "it"})", "line 1") ==
        R"({"ids": [2, 4449, 135, 5, 3, 234, 3], "type_ids": [0, 0, 0, 0, 0, 1, 1], )"
        R"("tokens": ["[CLS]", "hell", "##o", "!", "[SEP]", "it", "[SEP]"], )"
        R"("offsets": [[0, 0], [0, 4], [4, 5], [5, 6], [0, 0], [0, 2], [0, 0]], )"
        R"("special_tokens_mask": [1, 0, 0, 0, 1, 0, 1], )"
        R"("word_ids": [null, 0, 0, 1, null, 0, null]})");
  CHECK(decode_json_line(tokenizer, R"({"ids": [2, 4449, 135, 5, 3]})", "line 1") ==
        R"({"text": "[CLS] hello! [SEP]"})");
  CHECK(decode_json_line(tokenizer, R"({"ids": [2, 5], "skip_special_tokens": true})", "line 1") ==
        R"({"text": "!"})");
}

TEST_CASE("a request says how to truncate") {
  const Tokenizer tokenizer = Tokenizer::load(kExample);
  const auto ids = [&](const std::string& members) {
    const std::string line = R"({"text": "it is he", "pair": "the lord", "max_length": 6)";
    const Json answer =
        Json::parse(tokenize_json_line(tokenizer, line + members + "}", "line"), "answer");
    return answer.at("ids").dump();
  };
  CHECK(ids("") == ids(R"(, "truncation": "longest_first", "truncation_side": "right")"));
  CHECK(ids("") == "[2, 234, 202, 3, 184, 3]");
  CHECK(ids(R"(, "truncation": "only_first")") == "[2, 234, 3, 184, 894, 3]");
  CHECK(ids(R"(, "truncation": "only_first", "truncation_side": "left")") ==
        "[2, 295, 3, 184, 894, 3]");
  CHECK(error_of([&] { ids(R"(, "truncation": "only_second")"); }) ==
        "truncation: 2 tokens too many, but the text to be cut has only 2");
  CHECK(error_of([&] { ids(R"(, "truncation": "first")"); }) ==
        "line: /truncation: expected one of longest_first, only_first, only_second, got \"first\"");
  CHECK(error_of([&] { ids(R"(, "truncation_side": 1)"); }).find("line: /truncation_side") == 0);
}

TEST_CASE("bad request lines are refused with their place") {
  const Tokenizer tokenizer = Tokenizer::load(kExample);
  const auto error = [&](const char* line) {
    return error_of([&] { tokenize_json_line(tokenizer, line, "line 7"); });
  };
  CHECK(error(R"({"txt": ""})").find("line 7: /txt: unknown member") == 0);
  CHECK(error(R"({"pair": ""})").find("text") != std::string::npos);
  CHECK(error(R"({"text": 1})").find("line 7: /text") == 0);
  CHECK(error(R"({"text": "", "max_length": -1})").find("max_length") == 0);
  CHECK(error(R"({"text": "", "max_length": 1})") ==
        "max_length 1 leaves no room for the 2 special tokens");
  CHECK(error(R"([1])").find("line 7") == 0);
  const std::string unknown =
      error_of([&] { decode_json_line(tokenizer, R"({"ids": [8192]})", "line 7"); });
  CHECK(unknown == "there is no token of id 8192");
  CHECK(error_of([&] {
          decode_json_line(tokenizer, R"({"ids": [-1]})", "line 7");
        }).find("line 7: /ids/0: expected a token id") == 0);
}

}  // namespace
}  // namespace qe
