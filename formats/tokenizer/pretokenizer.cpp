// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/pretokenizer.h"

#include "formats/tokenizer/unicode.h"
#include "formats/tokenizer/utf8.h"
#include "kernels/core/error.h"

namespace qe {

std::unique_ptr<PreTokenizer> make_pretokenizer(const Json& json) {
  if (json.is_null()) return nullptr;
  const Json& type = json.at("type");
  if (type.as_string() == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  fail(type.where(), ": pre-tokenizer type \"", type.as_string(),
       "\" is not supported (expected BertPreTokenizer or null)");
}

void BertPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  constexpr size_t kNoWord = SIZE_MAX;
  const unicode::CharTable& table = unicode::CharTable::get();
  std::vector<ByteRange> pieces;
  pieces.swap(words);
  for (const ByteRange piece : pieces) {
    size_t word = kNoWord;  // where the current word began
    for (size_t i = piece.begin; i < piece.end;) {
      const size_t at = i;
      const uint8_t flags = table.flags(next_code_point(text.text, i));
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
