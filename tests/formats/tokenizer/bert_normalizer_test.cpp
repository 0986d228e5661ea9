// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/bert_normalizer.h"

#include <doctest/doctest.h>

#include "formats/tokenizer/pretokenizer.h"
#include "formats/utf8.h"
#include "tests/support/sha256.h"

namespace qe {
namespace {

struct Result {
  std::string text;
  std::string spans;  // "begin-end " of each character
};

Result normalized(std::string_view piece, const BertNormalizer::Options& options, int first = 0) {
  NormalizedText text;
  text.assign(piece, first);
  BertNormalizer(options).normalize(text);
  Result result{text.text, ""};
  for (size_t i = 0; i < text.text.size();) {
    const Span span = text.spans[i];
    result.spans += std::to_string(span.begin) + "-" + std::to_string(span.end) + " ";
    next_code_point(text.text, i);
  }
  return result;
}

const BertNormalizer::Options kUncased;

BertNormalizer::Options with(bool BertNormalizer::Options::*flag, bool value) {
  BertNormalizer::Options options;
  options.*flag = value;
  return options;
}
const BertNormalizer::Options kCased = with(&BertNormalizer::Options::lowercase, false);

std::string utf8(char32_t c) {
  char bytes[4];
  return {bytes, static_cast<size_t>(write_utf8(c, bytes))};
}

TEST_CASE("ASCII and other text are normalized alike") {
  const std::string ascii(
      "A\tb\r\n\x01\x7F \x0B"
      "C\0d",
      12);
  const Result plain = normalized(ascii, kUncased, 5);
  CHECK(plain.text == "a b   cd");
  CHECK(plain.spans == "5-6 6-7 7-8 8-9 9-10 12-13 14-15 16-17 ");
  // With one letter outside ASCII the other path is taken.
  const Result mixed = normalized(ascii + "ø", kUncased, 5);
  CHECK(mixed.text == plain.text + "ø");
  CHECK(mixed.spans == plain.spans + "17-18 ");
}

TEST_CASE("accents go, their letter keeps its place") {
  const Result composed = normalized("xÉy", kUncased);
  CHECK(composed.text == "xey");
  CHECK(composed.spans == "0-1 1-2 2-3 ");
  const Result combining = normalized("xE\u0323\u0301y", kUncased);
  CHECK(combining.text == "xey");
  CHECK(combining.spans == "0-1 1-2 4-5 ");
  CHECK(normalized("xÉ", kCased).text == "xÉ");
  // A singleton decomposition: U+0341 is U+0301.
  CHECK(normalized("e\u0341", kUncased).text == "e");
}

TEST_CASE("Hangul is left as Jamo of one place") {
  const Result result = normalized("한가", kUncased);
  CHECK(result.text == "\u1112\u1161\u11AB\u1100\u1161");
  CHECK(result.spans == "0-1 0-1 0-1 1-2 1-2 ");
}

TEST_CASE("marks that stay are put in canonical order, spans stay in text order") {
  // U+302E and U+1D165 are spacing marks of classes 224 and 216, U+0F71 and U+0F74 of 129 and 132.
  const Result result = normalized("a\u302E\U0001D165b", kUncased);
  CHECK(result.text == "a\U0001D165\u302Eb");
  CHECK(result.spans == "0-1 1-2 2-3 3-4 ");
}

TEST_CASE("Chinese characters get spaces of their own place") {
  const Result result = normalized("a中b", kUncased);
  CHECK(result.text == "a 中 b");
  CHECK(result.spans == "0-1 1-2 1-2 1-2 2-3 ");
  const auto unhandled = with(&BertNormalizer::Options::handle_chinese_chars, false);
  CHECK(normalized("a中b", unhandled).text == "a中b");
  CHECK(normalized("\U0002B820", kUncased).text == "\U0002B820");  // the reference's gap
  CHECK(normalized("\U0002B920", kUncased).text == " \U0002B920 ");
}

TEST_CASE("lower case may become longer") {
  BertNormalizer::Options with_accents;
  with_accents.strip_accents = false;
  const Result result = normalized("aİ", with_accents);
  CHECK(result.text == "ai\u0307");
  CHECK(result.spans == "0-1 1-2 1-2 ");
  CHECK(normalized("ΑΣ", kUncased).text == "ασ");  // no rule for a final sigma
}

TEST_CASE("options come from JSON, with defaults") {
  const auto options = [](const char* text) {
    return BertNormalizer::options(Json::parse(text, "tokenizer.json"));
  };
  const BertNormalizer::Options defaults = options("{}");
  CHECK(defaults.clean_text);
  CHECK(defaults.handle_chinese_chars);
  CHECK(!defaults.strip_accents.has_value());
  CHECK(defaults.lowercase);
  CHECK(options(R"({"strip_accents": false})").strip_accents == false);
  CHECK(!options(R"({"lowercase": false})").lowercase);
}

// Digests over all of Unicode from the reference (scripts/make_tokenizer_goldens.py).
TEST_CASE("every code point is normalized and cut as the reference does") {
  const Json golden = Json::parse_file(QE_SOURCE_DIR "/tests/golden/tokenizer_sweep.json");
  NormalizedText text;
  for (const Json& item : golden.at("normalizers").items()) {
    const std::unique_ptr<Normalizer> normalizer = make_normalizer(item.at("options"));
    std::string all;
    for (char32_t c = 0; c < 0x110000; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      text.assign(utf8(c), 0);
      normalizer->normalize(text);
      all += text.text;
      all += '\n';
    }
    CHECK_MESSAGE(test::sha256(all) == item.at("sha256").as_string(), item.at("options").dump());
  }
  std::string counts;
  std::vector<ByteRange> words;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    text.assign("a" + utf8(c) + "b", 0);
    words.assign(1, {0, text.text.size()});
    BertPreTokenizer().split(text, words);
    counts += std::to_string(words.size());
  }
  CHECK(test::sha256(counts) == golden.at("words_sha256").as_string());
}

}  // namespace
}  // namespace qe
