// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/oniguruma.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <set>
#include <vector>

#include "formats/quote.h"
#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr char32_t kLastChar = 0x10FFFF;
constexpr size_t kMaxPattern = size_t{1} << 19;
constexpr size_t kMaxRewritten = size_t{1} << 19;

/// A set of characters: ranges [first, last].
class CharSet {
 public:
  void add(char32_t first, char32_t last) { ranges_.push_back({first, last}); }
  void add(const CharSet& other) {
    ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  }
  bool empty() const { return ranges_.empty(); }

  CharSet complement() const {
    CharSet sorted = *this, result;
    sorted.merge();
    char32_t next = 0;
    for (const auto& [first, last] : sorted.ranges_) {
      if (first > next) result.add(next, first - 1);
      next = last + 1;
    }
    if (next <= kLastChar) result.add(next, kLastChar);
    return result;
  }

  /// As a class of re2.
  std::string text(bool negated) {
    merge();
    std::string out = negated ? "[^" : "[";
    for (const auto& [first, last] : ranges_) {
      char buffer[40];
      std::snprintf(buffer, sizeof buffer, first == last ? "\\x{%X}" : "\\x{%X}-\\x{%X}",
                    static_cast<unsigned>(first), static_cast<unsigned>(last));
      out += buffer;
    }
    return out + "]";
  }

 private:
  void merge() {
    std::sort(ranges_.begin(), ranges_.end());
    size_t n = 0;
    for (const auto& range : ranges_) {
      if (n > 0 && range.first <= ranges_[n - 1].second + 1) {
        ranges_[n - 1].second = std::max(ranges_[n - 1].second, range.second);
      } else {
        ranges_[n++] = range;
      }
    }
    ranges_.resize(n);
  }
  std::vector<std::pair<char32_t, char32_t>> ranges_;
};

/// The characters in the runs whose value is among those asked for.
template <class Has>
CharSet set_of(const unicode::Run* runs, size_t count, Has has) {
  CharSet set;
  for (size_t k = 0; k < count; ++k) {
    const char32_t last = k + 1 < count ? runs[k + 1].first - 1 : kLastChar;
    if (has(runs[k].value)) set.add(runs[k].first, last);
  }
  return set;
}

CharSet set_of_flag(uint16_t flag) {
  return set_of(unicode::kFlagRuns, unicode::kFlagRunCount,
                [&](uint16_t flags) { return (flags & flag) != 0; });
}

/// "L", "Lu"
CharSet set_of_category(std::string_view name) {
  const auto has = [&](uint16_t category) {
    return std::string_view(unicode::kCategoryNames[category]).starts_with(name);
  };
  bool known = false;
  for (uint16_t category = 0; category < unicode::kCategoryCount; ++category) {
    known |= !name.empty() && has(category);
  }
  QE_CHECK(known, "class \\p{", name, "}: expected a general category");
  return set_of(unicode::kCategoryRuns, unicode::kCategoryRunCount, has);
}

class Rewriter {
 public:
  explicit Rewriter(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    QE_CHECK(pattern_.size() <= kMaxPattern, pattern_.size(), " bytes: expected at most ",
             kMaxPattern);
    QE_CHECK(valid_utf8_prefix_length(pattern_) == pattern_.size(), "invalid UTF-8");
    while (at_ < pattern_.size()) {
      QE_CHECK(out_.size() <= kMaxRewritten, "too many classes");
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (c == '[') {
        out_ += char_class();
      } else if (c == '(') {
        group();
      } else if (c == '*' || c == '+' || c == '?' || c == '{') {
        quantifier();
        continue;
      } else {
        copy();
      }
    }
    return out_;
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  void copy() { out_ += pattern_[at_++]; }

  void group() {
    if (peek(1) != '?') {
      ++at_;
      out_ += "(?:";
      return;
    }
    for (const std::string_view start : {"(?:", "(?i:", "(?-i:", "(?i)", "(?-i)"}) {
      if (!pattern_.substr(at_).starts_with(start)) continue;
      out_ += start;
      at_ += start.size();
      return;
    }
    fail("group \"", pattern_.substr(at_, 4), "\": look-around and its kind cannot be matched");
  }

  void quantifier() {
    const char c = peek();
    if (c == '{') {
      size_t end = at_ + 1;
      while (end < pattern_.size() &&
             (std::isdigit(static_cast<unsigned char>(pattern_[end])) || pattern_[end] == ',')) {
        ++end;
      }
      const std::string_view body = pattern_.substr(at_ + 1, end - at_ - 1);
      const bool counts =
          end < pattern_.size() && pattern_[end] == '}' && body.size() > 0 && body != ",";
      if (!counts) {  // a brace
        out_ += "\\{";
        ++at_;
        return;
      }
      out_ += body[0] == ',' ? "{0" : "{";
      out_ += body;
      out_ += '}';
      at_ = end + 1;
      QE_CHECK(peek() != '+', "repeated quantifiers cannot be matched");
    } else {
      copy();
      QE_CHECK(peek() != '+', "possessive quantifiers cannot be matched");
    }
    if (peek() == '?') copy();
    QE_CHECK(peek() != '*' && peek() != '+' && peek() != '?',
             "repeated quantifiers cannot be "
             "matched");
  }

  /// \x41, \x{1F600}, \u0041 at the letter; moves past it.
  char32_t hex() {
    const bool braces = peek(1) == '{';
    const size_t digits = peek() == 'u' ? 4 : 2;
    size_t at = at_ + (braces ? 2 : 1);
    char32_t value = 0;
    size_t n = 0;
    for (; at < pattern_.size() && n < (braces ? 8 : digits); ++at, ++n) {
      const char c = pattern_[at];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) break;
      value = value << 4 | static_cast<char32_t>(digit);
    }
    const bool closed = !braces || (at < pattern_.size() && pattern_[at] == '}');
    QE_CHECK(n > 0 && closed && value <= kLastChar, "bad escape \"\\", pattern_.substr(at_, 10),
             "\"");
    at_ = at + (braces ? 1 : 0);
    return value;
  }

  /// The set of a class escape (\s, \P{L}) at the letter, if it is one; moves past it.
  bool class_escape(CharSet& set) {
    const char c = peek();
    CharSet found;
    bool negated = false;
    switch (c) {
      case 's':
      case 'S':
        found = set_of_flag(unicode::kWhitespace);
        negated = c == 'S';
        break;
      case 'w':
      case 'W':
        found = set_of_flag(unicode::kPatternWord);
        negated = c == 'W';
        break;
      case 'd':
      case 'D':
        found = set_of_category("Nd");
        negated = c == 'D';
        break;
      case 'p':
      case 'P': {
        const size_t end = pattern_.find('}', at_);
        QE_CHECK(peek(1) == '{' && end != std::string_view::npos, "bad escape \"\\",
                 pattern_.substr(at_, 10), "\"");
        std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
        negated = c == 'P';
        if (name.starts_with('^')) {
          negated = !negated;
          name.remove_prefix(1);
        }
        found = set_of_category(name);
        at_ = end;
        break;
      }
      default:
        return false;
    }
    ++at_;
    set.add(negated ? found.complement() : found);
    return true;
  }

  /// A single character written as an escape, at the letter; moves past it.
  char32_t char_escape() {
    switch (const char c = peek()) {
      case 'n':
        ++at_;
        return '\n';
      case 'r':
        ++at_;
        return '\r';
      case 't':
        ++at_;
        return '\t';
      case 'f':
        ++at_;
        return '\f';
      case 'v':
        ++at_;
        return '\v';
      case 'a':
        ++at_;
        return '\a';
      case 'e':
        ++at_;
        return 0x1B;
      case 'x':
      case 'u':
        return hex();
      default:
        QE_CHECK(!std::isalnum(static_cast<unsigned char>(c)) && at_ < pattern_.size(),
                 "escape \"\\", c, "\" cannot be matched");
        return next_code_point(pattern_, at_);
    }
  }

  void escape() {
    ++at_;
    CharSet set;
    if (class_escape(set)) {
      out_ += set.text(false);
    } else if (peek() == 'A' || peek() == 'z') {
      out_ += '\\';
      copy();
    } else {
      const char32_t c = char_escape();
      set.add(c, c);
      out_ += set.text(false);
    }
  }

  std::string char_class() {
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    CharSet set;
    std::set<std::string_view> seen;  // class escapes: they are large
    bool first = true;
    for (; peek() != ']' || first; first = false) {
      QE_CHECK(at_ < pattern_.size(), "a class without end");
      QE_CHECK(peek() != '[' && !(peek() == '&' && peek(1) == '&') && peek() != ']',
               "nested classes cannot be matched");
      if (peek() == '\\') {
        const size_t escape = ++at_;
        CharSet found;
        if (!class_escape(found)) {
          range(set, char_escape());
        } else if (seen.insert(pattern_.substr(escape, at_ - escape)).second) {
          set.add(found);
        }
      } else {
        range(set, next_code_point(pattern_, at_));
      }
    }
    ++at_;
    QE_CHECK(!set.empty(), "an empty class");
    return set.text(negated);
  }

  /// Adds a character of a class, or the range that begins with it.
  void range(CharSet& set, char32_t first) {
    char32_t last = first;
    if (peek() == '-' && peek(1) != ']' && at_ + 1 < pattern_.size()) {
      ++at_;
      QE_CHECK(peek() != '[', "nested classes cannot be matched");
      if (peek() == '\\') {
        ++at_;
        last = char_escape();
      } else {
        last = next_code_point(pattern_, at_);
      }
    }
    QE_CHECK(first <= last, "a class with a range from back to front");
    set.add(first, last);
  }

  std::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string rewrite_oniguruma(std::string_view pattern) { return Rewriter(pattern).run(); }

}  // namespace qe
