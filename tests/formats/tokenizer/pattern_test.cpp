// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/pattern.h"

#include <doctest/doctest.h>

#include "formats/tokenizer/pretokenizer.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const char* const kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The matches, separated by '|'.
std::string matches(const Pattern& pattern, std::string_view text) {
  std::vector<ByteRange> list;
  pattern.find(text, list);
  std::string out;
  for (const ByteRange match : list) {
    out += std::string(text.substr(match.begin, match.end - match.begin)) + "|";
  }
  return out;
}

std::string words(const std::string& pretokenizer, std::string_view text) {
  NormalizedText normalized;
  normalized.assign(text, 0);
  std::vector<ByteRange> list = {{0, text.size()}};
  make_pretokenizer(Json::parse(pretokenizer, "t.json"))->split(normalized, list);
  std::string out;
  for (const ByteRange word : list) {
    out += normalized.text.substr(word.begin, word.end - word.begin) + "|";
  }
  return out;
}

TEST_CASE("GPT-2's pattern by hand and by its rules") {
  const Pattern by_hand = Pattern::regex(kGpt2, "t");
  const Pattern by_rules =
      Pattern::regex(std::string("(?:") + "'s|'t|'re|'ve|'m|'ll|'d" + ")" + (kGpt2 + 23), "t");
  CHECK(matches(by_hand, "I'll it's  a  \n b ") == "I|'ll| it|'s| | a|  \n| b| |");
  for (const std::string text :
       {"", " ", "a", "'", "''s't", "'re've'm'll'd'x", "a1 2b  c\t\td", "\u3000\u3000\u4E2D",
        "\u00BD \u0661 x\u0301", "  \n", "a \u00A0b", "don't  'Stop", " 'll", "\u0085\u2028 z"}) {
    CAPTURE(text);
    CHECK(matches(by_hand, text) == matches(by_rules, text));
  }
}

TEST_CASE("classes come from the reference's tables") {
  CHECK(matches(Pattern::regex(R"([\p{Lu}\d-]+)", "t"), "aB1-\u0661c") == "B1-\u0661|");
  CHECK(matches(Pattern::regex(R"([^\s\w])", "t"), "a b_!\u3000?") == "!|?|");
  CHECK(matches(Pattern::regex(R"(\p{^N}\P{L})", "t"), "a1b") == "a1|");
  CHECK(matches(Pattern::regex(R"((?i:a\x41|\u0062{,2}c))", "t"), "AaBbC") == "Aa|BbC|");
  CHECK(matches(Pattern::regex(R"(a.$)", "t"), "ab\nac") == "ab|ac|");
}

TEST_CASE("empty matches lie between characters") {
  CHECK(matches(Pattern::literal(""), "\u00E9a") == "|||");
  CHECK(matches(Pattern::regex("b*", "t"), "abba") == "|bb||");
  CHECK(matches(Pattern::literal("aa"), "aaaaa") == "aa|aa|");
}

TEST_CASE("patterns that cannot be matched are named") {
  const auto error = [](const char* pattern) {
    return error_of([&] { Pattern::regex(pattern, "t.json: /pattern"); });
  };
  CHECK(error(R"(a(?=b))") ==
        "t.json: /pattern: pattern \"a(?=b)\" is not supported: group \"(?=b\": look-around and "
        "its kind cannot be matched");
  CHECK(error(R"((a)\1)").find("escape \"\\1\"") != std::string::npos);
  for (const char* bad : {R"(\bx)", "a++", "a{2}+", "(?>a)", "[[:alpha:]]", "[a&&b]", "[b-a]",
                          R"(\p{Greek})", R"(\p{L)", "[a", R"(\x{110000})", "(a", "a**", "\\"}) {
    CAPTURE(bad);
    CHECK(error(bad).find("is not supported: ") != std::string::npos);
  }
  std::string many;
  for (int k = 0; k < 1000; ++k) many += R"(\p{L})";
  CHECK(error(many.c_str()).find("too many classes") != std::string::npos);
}

TEST_CASE("what becomes of matches") {
  const auto split = [](const std::string& behavior, bool invert) {
    return words(R"({"type": "Split", "pattern": {"String": "-"}, "behavior": ")" + behavior +
                     R"(", "invert": )" + (invert ? "true" : "false") + "}",
                 "the-final--countdown-");
  };
  CHECK(split("Removed", false) == "the|final|countdown|");
  CHECK(split("Isolated", false) == "the|-|final|-|-|countdown|-|");
  CHECK(split("MergedWithPrevious", false) == "the-|final-|-|countdown-|");
  CHECK(split("MergedWithNext", false) == "the|-final|-|-countdown|-|");
  CHECK(split("Contiguous", false) == "the|-|final|--|countdown|-|");
  CHECK(split("Removed", true) == "-|-|-|-|");
}

TEST_CASE("pre-tokenizers") {
  CHECK(words(R"({"type": "Whitespace"})", "a_b, c\u3000!?") == "a_b|,|c|!?|");
  CHECK(words(R"({"type": "WhitespaceSplit"})", " a,b\tc ") == "a,b|c|");
  CHECK(words(R"({"type": "Punctuation"})", "a,b!?") == "a|,|b|!|?|");
  CHECK(words(R"({"type": "Digits"})", "a12b") == "a|12|b|");
  CHECK(words(R"({"type": "Digits", "individual_digits": true})", "a12b") == "a|1|2|b|");
  CHECK(words(R"({"type": "CharDelimiterSplit", "delimiter": "-"})", "a-b--c") == "a|b|c|");
  CHECK(words(R"({"type": "UnicodeScripts"})", "ab\u3042\u4E2D c") == "ab|\u3042\u4E2D |c|");
  CHECK(words(R"({"type": "FixedLength", "length": 2})", "a\u00E9bcd") == "a\u00E9|bc|d|");
  CHECK(words(R"({"type": "Metaspace"})", "a  b ") == "\u2581a|\u2581|\u2581b|\u2581|");
  CHECK(words(R"({"type": "Metaspace", "prepend_scheme": "never"})", "a b") == "a|\u2581b|");
  CHECK(words(R"({"type": "Metaspace", "split": false})", "a b") == "\u2581a\u2581b|");
  CHECK(words(R"({"type": "ByteLevel"})", "a \u00E9") == "\u0120a|\u0120\u00C3\u00A9|");
  CHECK(words(R"({"type": "ByteLevel", "use_regex": false, "add_prefix_space": false})", "a b") ==
        "a\u0120b|");
  CHECK(words(R"({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
                 {"type": "Digits"}]})",
              "a1 b") == "a|1|b|");
}

}  // namespace
}  // namespace qe
