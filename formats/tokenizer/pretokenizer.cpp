// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/pretokenizer.h"

#include "formats/quote.h"
#include "formats/tokenizer/byte_level.h"
#include "formats/tokenizer/metaspace.h"
#include "formats/tokenizer/split_pretokenizers.h"
#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {

namespace {

char32_t single_char(const Json& json) {
  const std::string& text = json.as_string();
  size_t end = 0;
  const char32_t c = text.empty() ? 0 : next_code_point(text, end);
  QE_CHECK(end > 0 && end == text.size(), json.where(), ": expected one character, got ",
           quote(text));
  return c;
}

bool flag(const Json& json, const char* key, bool fallback) {
  const Json* member = json.find(key);
  return member == nullptr || member->is_null() ? fallback : member->as_bool();
}

std::unique_ptr<PreTokenizer> by_flag(uint16_t flag, SplitBehavior behavior) {
  return std::make_unique<CharPreTokenizer>(
      [flag](char32_t c) { return (unicode::CharTable::get().flags(c) & flag) != 0; }, behavior);
}

}  // namespace

std::unique_ptr<PreTokenizer> make_pretokenizer(const Json& json) {
  if (json.is_null()) return nullptr;
  const Json& type = json.at("type");
  const std::string& name = type.as_string();
  if (name == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (name == "Sequence") {
    std::vector<std::unique_ptr<PreTokenizer>> parts;
    for (const Json& part : json.at("pretokenizers").items()) {
      QE_CHECK(!part.is_null(), part.where(), ": expected a pre-tokenizer, got null");
      parts.push_back(make_pretokenizer(part));
    }
    return std::make_unique<PreTokenizerSequence>(std::move(parts));
  }
  if (name == "ByteLevel") {
    return std::make_unique<ByteLevelPreTokenizer>(flag(json, "add_prefix_space", true),
                                                   flag(json, "use_regex", true));
  }
  if (name == "Metaspace") return std::make_unique<Metaspace>(Metaspace::options(json));
  if (name == "WhitespaceSplit") return by_flag(unicode::kWhitespace, SplitBehavior::kRemoved);
  if (name == "Whitespace") return std::make_unique<WhitespacePreTokenizer>();
  if (name == "Punctuation") {
    const Json* behavior = json.find("behavior");
    return by_flag(unicode::kPunctuation, behavior == nullptr
                                              ? SplitBehavior::kIsolated
                                              : split_behavior_from_json(*behavior));
  }
  if (name == "Digits") {
    return by_flag(unicode::kNumeric, flag(json, "individual_digits", false)
                                          ? SplitBehavior::kIsolated
                                          : SplitBehavior::kContiguous);
  }
  if (name == "CharDelimiterSplit") {
    const char32_t delimiter = single_char(json.at("delimiter"));
    return std::make_unique<CharPreTokenizer>([delimiter](char32_t c) { return c == delimiter; },
                                              SplitBehavior::kRemoved);
  }
  if (name == "Split") {
    return std::make_unique<SplitPreTokenizer>(Pattern::from_json(json.at("pattern")),
                                               split_behavior_from_json(json.at("behavior")),
                                               flag(json, "invert", false));
  }
  if (name == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
  if (name == "FixedLength") {
    const Json* length = json.find("length");
    const int64_t n = length == nullptr ? 5 : length->as_int();
    QE_CHECK(n > 0, length->where(), ": expected a positive length, got ", n);
    return std::make_unique<FixedLength>(n);
  }
  fail(type.where(), ": pre-tokenizer type ", quote(name),
       " is not supported (expected BertPreTokenizer, Sequence, ByteLevel, Metaspace, "
       "WhitespaceSplit, Whitespace, Punctuation, Digits, CharDelimiterSplit, Split, "
       "UnicodeScripts, FixedLength or null)");
}

void BertPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  constexpr size_t kNoWord = SIZE_MAX;
  const unicode::CharTable& table = unicode::CharTable::get();
  static thread_local std::vector<ByteRange> pieces;
  pieces.swap(words);
  words.clear();
  for (const ByteRange piece : pieces) {
    size_t word = kNoWord;  // where the current word began
    for (size_t i = piece.begin; i < piece.end;) {
      const size_t at = i;
      const uint16_t flags = table.flags(next_code_point(text.text, i));
      if (!(flags & (unicode::kWhitespace | unicode::kPunctuation))) {
        if (word == kNoWord) word = at;
        continue;
      }
      if (word != kNoWord) words.push_back({word, at});
      word = kNoWord;
      if (flags & unicode::kPunctuation) words.push_back({at, i});
    }
    if (word != kNoWord) words.push_back({word, piece.end});
  }
}

}  // namespace qe
