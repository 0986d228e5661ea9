// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/split_pretokenizers.h"

#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"

namespace qe {
namespace {

/// Replaces every word by what `cut(word)` appends.
template <class Cut>
void cut_words(std::vector<ByteRange>& words, Cut cut) {
  static thread_local std::vector<ByteRange> before;
  before.swap(words);
  words.clear();
  for (const ByteRange word : before) cut(word);
}

}  // namespace

void CharPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  static thread_local std::vector<MatchPiece> pieces;
  cut_words(words, [&](ByteRange word) {
    pieces.clear();
    size_t done = word.begin;
    for (size_t i = word.begin; i < word.end;) {
      const size_t at = i;
      if (!matches_(next_code_point(text.text, i))) continue;
      if (done < at) pieces.push_back({{done, at}, false});
      pieces.push_back({{at, i}, true});
      done = i;
    }
    if (done < word.end) pieces.push_back({{done, word.end}, false});
    split_by(pieces, behavior_, words);
  });
}

void SplitPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  static thread_local std::vector<MatchPiece> pieces;
  static thread_local std::vector<ByteRange> matches;
  cut_words(words, [&](ByteRange word) {
    pieces.clear();
    matches.clear();
    pattern_.find(std::string_view(text.text).substr(word.begin, word.end - word.begin), matches);
    size_t done = word.begin;
    for (const ByteRange match : matches) {
      const size_t begin = word.begin + match.begin, end = word.begin + match.end;
      if (done != begin) pieces.push_back({{done, begin}, invert_});
      pieces.push_back({{begin, end}, !invert_});
      done = end;
    }
    if (done != word.end) pieces.push_back({{done, word.end}, invert_});
    split_by(pieces, behavior_, words);
  });
}

void WhitespacePreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  const unicode::CharTable& table = unicode::CharTable::get();
  enum class Kind { kWord, kSpace, kOther };
  const auto kind_at = [&](size_t& i) {
    const uint16_t flags = table.flags(next_code_point(text.text, i));
    return flags & unicode::kWord         ? Kind::kWord
           : flags & unicode::kWhitespace ? Kind::kSpace
                                          : Kind::kOther;
  };
  cut_words(words, [&](ByteRange word) {
    for (size_t i = word.begin; i < word.end;) {
      const size_t begin = i;
      const Kind kind = kind_at(i);
      for (size_t next = i; i < word.end && kind_at(next) == kind;) i = next;
      if (kind != Kind::kSpace) words.push_back({begin, i});
    }
  });
}

void UnicodeScripts::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  constexpr int kNone = -1, kAny = 0;
  cut_words(words, [&](ByteRange word) {
    int last = kNone;
    size_t begin = word.begin;
    bool begun = false;  // what is before the first script is dropped
    for (size_t i = word.begin; i < word.end;) {
      const size_t at = i;
      const int script = unicode::script(next_code_point(text.text, i));
      if (script == kAny) continue;
      if (script != last) {
        if (begun) words.push_back({begin, at});
        begin = at;
        begun = true;
      }
      last = script;
    }
    if (begun) words.push_back({begin, word.end});
  });
}

void FixedLength::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  cut_words(words, [&](ByteRange word) {
    for (size_t i = word.begin; i < word.end;) {
      const size_t begin = i;
      for (int64_t n = 0; n < n_chars_ && i < word.end; ++n) next_code_point(text.text, i);
      words.push_back({begin, i});
    }
  });
}

}  // namespace qe
