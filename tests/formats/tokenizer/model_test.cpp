// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/model.h"

#include <doctest/doctest.h>

#include "formats/tokenizer/bpe.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::unique_ptr<Model> model(const std::string& json) {
  return make_model(Json::parse(json, "t.json"));
}

/// "id@begin-end " of each token.
std::string tokens(const Model& model, std::string_view word) {
  std::vector<WordToken> list;
  model.tokenize(word, list);
  std::string text;
  for (const WordToken& token : list) {
    text += std::to_string(token.id) + "@" + std::to_string(token.begin) + "-" +
            std::to_string(token.end) + " ";
  }
  return text;
}

std::string error(const std::string& json) {
  return error_of([&] { model(json); });
}

TEST_CASE("merge rules apply in their order, leftmost first") {
  const auto bpe = model(R"({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3, "ba": 4,
                             "aa": 5}, "merges": ["a b", "a a", ["ab", "a"], "b a"]})");
  CHECK(tokens(*bpe, "ab") == "2@0-2 ");
  CHECK(tokens(*bpe, "aba") == "3@0-3 ");
  CHECK(tokens(*bpe, "aaa") == "5@0-2 0@2-3 ");
  CHECK(tokens(*bpe, "baab") == "4@0-2 2@2-4 ");
  // Without an unknown token other characters are dropped, and offsets move.
  CHECK(tokens(*bpe, "xab") == "2@0-2 ");
}

TEST_CASE("unknown characters of BPE") {
  const std::string rest = R"("merges": [], "vocab": {"a": 0, "?": 1, "<0xC3>": 2, "<0xA9>": 3}})";
  const auto each = model(R"({"type": "BPE", "unk_token": "?", )" + rest);
  CHECK(tokens(*each, "xya") == "1@0-1 1@1-2 0@2-3 ");
  const auto fused = model(R"({"type": "BPE", "unk_token": "?", "fuse_unk": true, )" + rest);
  CHECK(tokens(*fused, "xya") == "1@0-2 0@2-3 ");
  const auto bytes = model(R"({"type": "BPE", "unk_token": "?", "byte_fallback": true, )" + rest);
  CHECK(tokens(*bytes, "\u00E9a") == "2@0-1 3@1-2 0@2-3 ");
  CHECK(tokens(*bytes, "\u00E8") == "1@0-2 ");
}

TEST_CASE("prefixes, suffixes and whole words of BPE") {
  const auto marked = model(R"({"type": "BPE", "continuing_subword_prefix": "##",
    "end_of_word_suffix": "$", "vocab": {"a": 0, "##b": 1, "##b$": 2, "ab$": 3, "a$": 4},
    "merges": ["a ##b$"]})");
  CHECK(tokens(*marked, "ab") == "3@0-2 ");
  CHECK(tokens(*marked, "abb") == "0@0-1 1@1-2 2@2-3 ");
  CHECK(tokens(*marked, "a") == "4@0-1 ");
  const auto whole = model(R"({"type": "BPE", "ignore_merges": true,
                              "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": []})");
  CHECK(tokens(*whole, "ab") == "2@0-2 ");
  CHECK(tokens(*whole, "aab") == "0@0-1 0@1-2 1@2-3 ");
}

TEST_CASE("lines of merges.txt") {
  const Bpe::Merges merges = Bpe::read_merges("#version: 0.2\na b\r\nab c\n", "merges.txt");
  REQUIRE(merges.size() == 2);
  CHECK(merges[1].first == "ab");
  CHECK(merges[1].second == "c");
  CHECK(error_of([] { Bpe::read_merges("a b\nabc\n", "m"); }) ==
        "m:2: expected a merge rule of two tokens, got \"abc\"");
  CHECK(error_of([] { Bpe::read_merges("a b c", "m"); }).find("m:1: ") == 0);
}

TEST_CASE("unigram takes the best path") {
  const auto unigram = model(R"({"type": "Unigram", "unk_id": 0, "vocab": [["?", 0], ["a", -1],
    ["b", -1], ["ab", -1.5], ["bc", -3], ["c", -2.5], ["xy", -4]]})");
  CHECK(tokens(*unigram, "ab") == "3@0-2 ");
  CHECK(tokens(*unigram, "abc") == "1@0-1 4@1-3 ");  // as good as the other: found first
  CHECK(tokens(*unigram, "bc") == "4@0-2 ");
  CHECK(tokens(*unigram, "zz\u00E9a") == "0@0-4 1@4-5 ");  // unknown neighbours are one token
  CHECK(tokens(*unigram, "x?b") == "0@0-2 2@2-3 ");
  CHECK(tokens(*unigram, "xy") == "6@0-2 ");
}

TEST_CASE("unigram falls back to bytes") {
  const auto unigram = model(R"({"type": "Unigram", "unk_id": 0, "byte_fallback": true,
    "vocab": [["?", 0], ["<0xC3>", -1], ["<0xA9>", -1]]})");
  CHECK(tokens(*unigram, "\u00E9") == "1@0-2 2@0-2 ");
  CHECK(tokens(*unigram, "\u00E8") == "0@0-2 ");
}

TEST_CASE("word level") {
  const auto words = model(R"({"type": "WordLevel", "vocab": {"a": 0, "?": 1}, "unk_token": "?"})");
  CHECK(tokens(*words, "a") == "0@0-1 ");
  CHECK(tokens(*words, "ab") == "1@0-2 ");
}

TEST_CASE("old files do not name the type") {
  CHECK(tokens(*model(R"({"vocab": [["a", -1]], "unk_id": 0})"), "a") == "0@0-1 ");
  CHECK(tokens(*model(R"({"vocab": {"a": 7}, "merges": []})"), "a") == "7@0-1 ");
}

TEST_CASE("bad models are refused with their place") {
  CHECK(error(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})") ==
        "t.json: /merges: the vocabulary lacks \"b\" of the merge rules");
  CHECK(error(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]})") ==
        "t.json: /merges: the vocabulary lacks \"aa\" of the merge rules");
  CHECK(error(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]})") ==
        "t.json: /merges/0: expected two tokens, got 1");
  CHECK(
      error(R"({"type": "BPE", "vocab": {}, "merges": [], "dropout": 0.1})").find("BPE dropout") !=
      std::string::npos);
  CHECK(error(R"({"type": "BPE", "continuing_subword_prefix": "##", "vocab": {"a": 0, "b": 1},
                  "merges": ["a b"]})")
            .find("shorter than the prefix") != std::string::npos);
  CHECK(error(R"({"type": "Unigram", "unk_id": 1, "vocab": [["a", 0]]})") ==
        "t.json: /vocab: unk_id 1 is outside the vocabulary of 1");
  CHECK(error(R"({"type": "Unigram", "vocab": [["a"]]})") ==
        "t.json: /vocab/0: expected [piece, score], got 1 items");
  const auto none = model(R"({"type": "Unigram", "vocab": [["a", 0]]})");
  CHECK(error_of([&] { tokens(*none, "b"); }).find("which has no unk_id") != std::string::npos);
  const auto words = model(R"({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"})");
  CHECK(error_of([&] { tokens(*words, "b"); }) ==
        "the unknown token \"?\" is not in the vocabulary");
}

}  // namespace
}  // namespace qe
