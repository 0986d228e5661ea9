// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/pattern.h"

#include <time.h>

#include <algorithm>

#include "formats/quote.h"
#include "formats/tokenizer/oniguruma.h"
#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

using unicode::CharTable;

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLookAheadTail = R"(|\s+(?!\S)|\s+)";

enum class Kind : uint8_t { kLetter, kNumber, kSpace, kOther };

/// Ends a search that takes far too long: a match takes linear time, but where the end of the text
/// decides on each of them ("a.*z|a"), all together take the square.
class SearchTime {
 public:
  explicit SearchTime(size_t n_bytes) : allowed_(2 + 2e-6 * static_cast<double>(n_bytes)) {}
  void check_after_match() {
    if (++n_matches_ % 256 != 0) return;
    const double now = thread_seconds();
    if (n_matches_ == 256) end_ = now + allowed_;
    QE_CHECK(now <= end_, "the tokenizer's pattern takes more than ", allowed_,
             " s for a text of that length");
  }

 private:
  static double thread_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  double allowed_;
  double end_ = 0;
  size_t n_matches_ = 0;
};

Kind kind_of(char32_t c) {
  static const std::array<Kind, 128> ascii = [] {
    std::array<Kind, 128> kinds;
    for (char32_t k = 0; k < 128; ++k) {
      const bool letter = (k >= 'a' && k <= 'z') || (k >= 'A' && k <= 'Z');
      const bool space = k == ' ' || (k >= 9 && k <= 13);
      kinds[k] = letter                 ? Kind::kLetter
                 : k >= '0' && k <= '9' ? Kind::kNumber
                 : space                ? Kind::kSpace
                                        : Kind::kOther;
    }
    return kinds;
  }();
  if (c < 128) return ascii[c];
  const CharTable& table = CharTable::get();
  const uint8_t category = table.category(c);
  if (unicode::is_letter(category)) return Kind::kLetter;
  if (unicode::is_number(category)) return Kind::kNumber;
  return table.flags(c) & unicode::kWhitespace ? Kind::kSpace : Kind::kOther;
}

/// The length of an English contraction ("'ll") at the start of text, or 0.
size_t contraction_length(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char c = text[1];
  if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
  if (text.size() < 3) return 0;
  const char d = text[2];
  const bool found = (c == 'r' && d == 'e') || (c == 'v' && d == 'e') || (c == 'l' && d == 'l');
  return found ? 3 : 0;
}

/// The end of the run of characters of one kind that begins at `at`.
size_t end_of_run(std::string_view text, size_t at, Kind kind) {
  while (at < text.size()) {
    size_t next = at;
    if (kind_of(next_code_point(text, next)) != kind) break;
    at = next;
  }
  return at;
}

}  // namespace

void split_gpt2(std::string_view text, ByteRange range, std::vector<ByteRange>& words) {
  text = text.substr(0, range.end);
  for (size_t i = range.begin; i < text.size();) {
    const size_t begin = i;
    if (const size_t n = contraction_length(text.substr(i)); n > 0) {
      i += n;
      words.push_back({begin, i});
      continue;
    }
    size_t start = text[i] == ' ' && i + 1 < text.size() ? i + 1 : i;
    size_t next = start;
    Kind kind = kind_of(next_code_point(text, next));
    if (kind != Kind::kSpace) {
      i = end_of_run(text, next, kind);
      words.push_back({begin, i});
      continue;
    }
    // White space: all of it at the end, else all but the last character, which goes with what
    // follows; one alone stays.
    const size_t end = end_of_run(text, i, Kind::kSpace);
    size_t last = end;
    previous_code_point(text, last);
    i = end == text.size() || last == begin ? end : last;
    words.push_back({begin, i});
  }
}

Pattern Pattern::from_json(const Json& json) {
  if (const Json* text = json.find("String")) return literal(text->as_string());
  const Json& regex_text = json.at("Regex");
  return regex(regex_text.as_string(), regex_text.where());
}

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::regex(const std::string& text, const std::string& where) {
  Pattern pattern;
  pattern.is_gpt2_ = text == kGpt2;
  if (pattern.is_gpt2_) return pattern;
  const bool has_tail = text.size() > kLookAheadTail.size() && text.ends_with(kLookAheadTail);
  const std::string body = has_tail ? text.substr(0, text.size() - kLookAheadTail.size()) : text;
  try {
    std::string rewritten = rewrite_oniguruma(body);
    if (has_tail) rewritten = "(?:" + rewritten + ")|(" + rewrite_oniguruma(R"(\s+)") + ")";
    pattern.regex_.emplace("(?m)" + rewritten);
  } catch (const Error& error) {
    // The rewritten pattern may be very long; the user knows the original.
    const std::string_view what = error.what();
    const size_t reason = what.starts_with("pattern \"") ? what.rfind("\": ") + 3 : 0;
    fail(where, ": pattern ", quote(text, 200),
         " is not supported: ", printable(what.substr(reason), 200));
  }
  return pattern;
}

void Pattern::find_regex(std::string_view text, std::vector<ByteRange>& matches) const {
  SearchTime time(text.size());
  size_t from = 0;
  size_t last_end = SIZE_MAX;
  while (from <= text.size()) {
    const std::optional<Regex::Match> match = regex_->search(text, from);
    if (!match) return;
    size_t end = match->end;
    if (match->begin == end && end == last_end) {  // an empty one where the last one ended
      if (end == text.size()) return;
      from = end;
      next_code_point(text, from);
      continue;
    }
    if (match->group && end < text.size()) {
      size_t last = end;
      previous_code_point(text, last);
      if (last > match->begin) end = last;
    }
    matches.push_back({match->begin, end});
    from = last_end = end;
    time.check_after_match();
  }
}

void Pattern::find(std::string_view text, std::vector<ByteRange>& matches) const {
  if (is_gpt2_) return split_gpt2(text, {0, text.size()}, matches);
  if (regex_) return find_regex(text, matches);
  if (literal_.empty()) {
    for (size_t i = 0;; next_code_point(text, i)) {
      matches.push_back({i, i});
      if (i == text.size()) return;
    }
  }
  for (size_t i = text.find(literal_); i != std::string_view::npos;) {
    matches.push_back({i, i + literal_.size()});
    i = text.find(literal_, i + literal_.size());
  }
}

SplitBehavior split_behavior_from_json(const Json& json) {
  const std::string& name = json.as_string();
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  fail(json.where(),
       ": expected Removed, Isolated, MergedWithPrevious, MergedWithNext or "
       "Contiguous, got ",
       quote(name));
}

void split_by(std::vector<MatchPiece>& pieces, SplitBehavior behavior,
              std::vector<ByteRange>& words) {
  if (behavior == SplitBehavior::kMergedWithNext) std::reverse(pieces.begin(), pieces.end());
  const size_t first = words.size();
  bool last_matched = false;
  for (const MatchPiece& piece : pieces) {
    if (behavior == SplitBehavior::kRemoved) {
      if (!piece.is_match) words.push_back(piece.range);
      continue;
    }
    const bool contiguous = behavior == SplitBehavior::kContiguous;
    const bool merges =
        behavior != SplitBehavior::kIsolated && words.size() > first &&
        (contiguous ? piece.is_match == last_matched : piece.is_match && !last_matched);
    last_matched = piece.is_match;
    if (!merges) {
      words.push_back(piece.range);
    } else if (behavior == SplitBehavior::kMergedWithNext) {
      words.back().begin = piece.range.begin;
    } else {
      words.back().end = piece.range.end;
    }
  }
  const auto begin = words.begin() + static_cast<ptrdiff_t>(first);
  if (behavior == SplitBehavior::kMergedWithNext) std::reverse(begin, words.end());
  words.erase(std::remove_if(begin, words.end(),
                             [](const ByteRange& word) { return word.begin == word.end; }),
              words.end());
}

}  // namespace qe
