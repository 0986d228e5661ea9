// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Text through the normalizers and pre-tokenizers that need no vocabulary: valid UTF-8, spans in
// order and within the text, and forms that agree with each other.

#include "formats/tokenizer/normal_forms.h"
#include "formats/tokenizer/pretokenizer.h"
#include "formats/utf8.h"
#include "tests/fuzz/support.h"

namespace {
using namespace qe;

void check(const NormalizedText& text, int32_t first, int32_t last) {
  fuzz::require(valid_utf8_prefix_length(text.text) == text.text.size(), "invalid UTF-8");
  fuzz::require(text.spans.size() == text.text.size(), "a span for each byte");
  int32_t begin = first, end = first;
  for (const Span& span : text.spans) {
    fuzz::require(span.begin <= span.end, "a span from back to front");
    fuzz::require(begin <= span.begin && end <= span.end && span.end <= last, "spans in disorder");
    begin = span.begin;
    end = span.end;
  }
}

std::string formed(const std::string& text, NormalForm::Form form) {
  NormalizedText result;
  result.assign(text, 0);
  NormalForm(form).normalize(result);
  return result.text;
}

void check_forms(const std::string& text) {
  using Form = NormalForm::Form;
  const std::string c = formed(text, Form::kC), d = formed(text, Form::kD);
  const std::string kc = formed(text, Form::kKC), kd = formed(text, Form::kKD);
  fuzz::require(formed(c, Form::kC) == c && formed(d, Form::kD) == d, "a form of itself");
  fuzz::require(formed(kc, Form::kKC) == kc && formed(kd, Form::kKD) == kd, "a form of itself");
  fuzz::require(formed(d, Form::kC) == c && formed(c, Form::kD) == d, "C and D disagree");
  fuzz::require(formed(kd, Form::kKC) == kc && formed(kc, Form::kKD) == kd, "KC and KD disagree");
  fuzz::require(formed(kd, Form::kC) == kc && formed(c, Form::kKD) == kd, "K and C disagree");
}

constexpr const char* kNormalizers[] = {
    R"({"type": "BertNormalizer"})",
    R"({"type": "BertNormalizer", "clean_text": false, "lowercase": false, "strip_accents": true})",
    R"({"type": "NFC"})",
    R"({"type": "NFD"})",
    R"({"type": "NFKC"})",
    R"({"type": "NFKD"})",
    R"({"type": "Lowercase"})",
    R"({"type": "StripAccents"})",
    R"({"type": "Strip", "strip_left": true, "strip_right": true})",
    R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"})",
    R"({"type": "Prepend", "prepend": "▁"})",
    R"({"type": "Nmt"})",
    R"({"type": "ByteLevel"})"};

constexpr const char* kPreTokenizers[] = {
    R"({"type": "BertPreTokenizer"})",
    R"({"type": "ByteLevel"})",
    R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})",
    R"({"type": "Metaspace"})",
    R"({"type": "Metaspace", "prepend_scheme": "first", "split": false})",
    R"({"type": "WhitespaceSplit"})",
    R"({"type": "Whitespace"})",
    R"({"type": "Punctuation", "behavior": "Contiguous"})",
    R"({"type": "Digits", "individual_digits": true})",
    R"({"type": "CharDelimiterSplit", "delimiter": "中"})",
    R"({"type": "UnicodeScripts"})",
    R"({"type": "FixedLength", "length": 3})",
    R"({"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "MergedWithNext"})",
    R"({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"})"};

template <class Make, size_t N>
auto make_all(const char* const (&list)[N], Make make) {
  std::vector<decltype(make(Json()))> parts;
  for (const char* text : list) parts.push_back(make(Json::parse(text, "list")));
  return parts;
}
}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto normalizers = make_all(kNormalizers, make_normalizer);
  static const auto pretokenizers = make_all(kPreTokenizers, make_pretokenizer);
  fuzz::Input input(data, size);
  const unsigned choices[3] = {input.byte(), input.byte(), input.byte()};
  int64_t n_replaced = 0;
  const std::string piece = replace_invalid_utf8(input.rest(), n_replaced);
  check_forms(piece);

  const int32_t first = 7, last = first + static_cast<int32_t>(count_code_points(piece));
  NormalizedText text;
  text.assign(piece, first);
  for (const unsigned choice : {choices[0], choices[1]}) {
    normalizers[choice % normalizers.size()]->normalize(text);
    check(text, first, last);
  }
  if (text.text.empty()) return 0;
  std::vector<ByteRange> words = {{0, text.text.size()}};
  for (const unsigned choice : {choices[2], choices[2] / 16}) {
    pretokenizers[choice % pretokenizers.size()]->split(text, words);
    check(text, first, last);
    size_t end = 0;
    for (const ByteRange word : words) {
      fuzz::require(end <= word.begin && word.begin < word.end && word.end <= text.text.size(),
                    "words overlap or are empty");
      end = word.end;
    }
    if (words.empty()) break;
  }
  return 0;
}
