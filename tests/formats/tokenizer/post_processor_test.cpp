// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/post_processor.h"

#include <doctest/doctest.h>

#include "formats/tokenizer/tokenizer.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

TokenSequence tokens(int32_t n, int32_t first_id) {
  TokenSequence sequence;
  for (int32_t k = 0; k < n; ++k) {
    sequence.ids.push_back(first_id + k);
    sequence.offsets.push_back({k, k + 1});
    sequence.word_ids.push_back(k);
  }
  return sequence;
}

std::string cut(int32_t n_first, int32_t n_second, int64_t max_length) {
  TokenSequence first = tokens(n_first, 0), second = tokens(n_second, 100);
  truncate(first, &second, max_length, TruncationStrategy::kLongestFirst, TruncationSide::kRight);
  return std::to_string(first.size()) + "+" + std::to_string(second.size());
}

PostProcessor parse(const std::string& text) {
  return PostProcessor::from_json(Json::parse(text, "t.json"), [](int32_t id) { return id < 10; });
}

std::string error(const std::string& text) {
  return error_of([&] { parse(text); });
}

TEST_CASE("of a pair the longer text is cut first") {
  CHECK(cut(3, 4, 7) == "3+4");
  CHECK(cut(3, 4, 6) == "3+3");
  CHECK(cut(2, 10, 6) == "2+4");
  CHECK(cut(10, 2, 6) == "4+2");
  CHECK(cut(10, 12, 7) == "3+4");  // the longer one has the odd token
  CHECK(cut(12, 10, 7) == "4+3");
  CHECK(cut(10, 10, 7) == "3+4");
  CHECK(cut(5, 0, 3) == "3+0");
  CHECK(cut(5, 5, 0) == "0+0");
  TokenSequence single = tokens(5, 0);
  truncate(single, nullptr, 2, TruncationStrategy::kLongestFirst, TruncationSide::kRight);
  CHECK(single.ids == std::vector<int32_t>{0, 1});
  CHECK(single.offsets.size() == 2);
  CHECK(single.word_ids.size() == 2);
}

TEST_CASE("without a processor a pair has types 0 and 1") {
  const PostProcessor none = parse("null");
  TokenSequence first = tokens(2, 5), second = tokens(1, 8);
  Encoding pair;
  pair.ids = {1, 2, 3, 4};  // of a text before
  none.process(first, &second, true, pair);
  CHECK(pair.ids == std::vector<int32_t>{5, 6, 8});
  CHECK(pair.type_ids == std::vector<int32_t>{0, 0, 1});
  CHECK(none.n_added(true) == 0);
}

TEST_CASE("one text of a pair may be cut, and the left side") {
  const auto cut_to = [](int64_t max_length, TruncationStrategy strategy, TruncationSide side) {
    TokenSequence first = tokens(4, 0), second = tokens(3, 100);
    truncate(first, &second, max_length, strategy, side);
    std::string ids;
    for (const int32_t id : first.ids) ids += std::to_string(id) + " ";
    for (const int32_t id : second.ids) ids += std::to_string(id) + " ";
    return ids;
  };
  constexpr auto kFirst = TruncationStrategy::kOnlyFirst, kSecond = TruncationStrategy::kOnlySecond;
  constexpr auto kLeft = TruncationSide::kLeft, kRight = TruncationSide::kRight;
  CHECK(cut_to(5, kFirst, kRight) == "0 1 100 101 102 ");
  CHECK(cut_to(5, kSecond, kRight) == "0 1 2 3 100 ");
  CHECK(cut_to(5, kSecond, kLeft) == "0 1 2 3 102 ");
  CHECK(cut_to(3, TruncationStrategy::kLongestFirst, kLeft) == "2 3 102 ");
  CHECK(error_of([&] { cut_to(3, kFirst, kRight); }) ==
        "truncation: 4 tokens too many, but the text to be cut has only 4");
  TokenSequence single = tokens(5, 0);
  CHECK(error_of([&] { truncate(single, nullptr, 2, kSecond, kRight); }) ==
        "truncation: only_second needs a pair");
}

TEST_CASE("white space is trimmed from offsets") {
  const auto trimmed = [](const PostProcessor& processor, Span span, std::string_view token,
                          bool is_first) {
    TokenSequence sequence = tokens(2, 5);
    sequence.blanks.resize(2);
    const size_t k = is_first ? 0 : 1;
    sequence.offsets[k] = span;
    sequence.blanks[k] = blanks_of(token);
    Encoding encoding;
    processor.process(sequence, nullptr, false, encoding);
    const auto [begin, end] = encoding.offsets[k];
    return std::to_string(begin) + "-" + std::to_string(end);
  };
  const PostProcessor keeps = PostProcessor::roberta(0, 2, false, false);
  const PostProcessor trims = PostProcessor::roberta(0, 2, true, false);
  const PostProcessor spaces = PostProcessor::roberta(0, 2, true, true);
  CHECK(!keeps.trims());
  CHECK(trimmed(keeps, {3, 8}, " ab \u3000", false) == "3-8");
  CHECK(trimmed(trims, {3, 8}, " ab \u3000", false) == "4-6");
  CHECK(trimmed(trims, {3, 6}, "\u0120ab", false) == "4-6");
  CHECK(trimmed(trims, {3, 5}, "  ", false) == "5-5");
  CHECK(trimmed(spaces, {0, 3}, " ab", true) == "0-3");
  CHECK(trimmed(spaces, {1, 4}, "  ab", true) == "3-4");  // two were not added
  CHECK(trimmed(spaces, {3, 6}, " ab", false) == "4-6");
  CHECK(trimmed(parse(R"({"type": "ByteLevel", "add_prefix_space": false})"), {3, 6}, " ab",
                false) == "4-6");
  CHECK(!parse(R"({"type": "ByteLevel", "trim_offsets": false})").trims());
}

TEST_CASE("bad processors are refused with their place") {
  CHECK(error(R"({"type": "Nothing"})").find("t.json: /type: post-processor type \"Nothing\"") ==
        0);
  CHECK(error(R"({"type": "BertProcessing", "cls": ["a", 1], "sep": ["b", 10]})") ==
        "t.json: /sep/1: there is no token of id 10");
  CHECK(error(R"({"type": "BertProcessing", "cls": ["a"], "sep": ["b", 1]})") ==
        "t.json: /cls: expected [token, id], got 1 items");
  CHECK(error(R"({"type": "Sequence", "processors": [
                 {"type": "BertProcessing", "cls": ["a", 1], "sep": ["b", 2]},
                 {"type": "BertProcessing", "cls": ["a", 1], "sep": ["b", 2]}]})") ==
        "t.json: /processors/1: a second processor that adds special tokens");
  const auto with = [](const std::string& single, const std::string& specials) {
    return error(R"({"type": "TemplateProcessing", "pair": [], "single": [)" + single +
                 R"(], "special_tokens": {)" + specials + "}}");
  };
  CHECK(with(R"({"SpecialToken": {"id": "X", "type_id": 0}})", "") ==
        "t.json: /single/0/SpecialToken/id: \"X\" is not in t.json: /special_tokens");
  CHECK(with(R"({"SpecialToken": {"id": "X", "type_id": 0}})", R"("X": {"ids": [11]})") ==
        "t.json: /special_tokens/X/ids/0: there is no token of id 11");
  CHECK(with(R"({"Sequence": {"id": "C", "type_id": 0}})", "") ==
        "t.json: /single/0/Sequence/id: expected \"A\" or \"B\", got \"C\"");
  CHECK(with(R"({"Sequence": {"id": "B", "type_id": 0}})", "") ==
        "t.json: /single: a template for one text names sequence \"B\"");
  CHECK(with(R"({"Sequence": {"id": "A", "type_id": -1}})", "") ==
        "t.json: /single/0/Sequence: type_id -1 is out of range");
}

}  // namespace
}  // namespace qe
