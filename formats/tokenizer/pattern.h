// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The patterns of tokenizer files: a literal text, or a regular expression in Oniguruma's syntax.
// Expressions are rewritten for re2; classes that depend on Unicode (\s, \w, \p{..}) become ranges
// of our tables. re2 has no look-ahead: the tail "|\s+(?!\S)|\s+" of byte-level tokenizers is
// matched as "|\s+", giving the last space back to what follows.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/regex.h"
#include "formats/tokenizer/normalized_text.h"

namespace qe {

class Pattern {
 public:
  /// From {"String": ...} or {"Regex": ...}. Error, naming the pattern, for what cannot be matched.
  static Pattern from_json(const Json& json);
  /// `where` stands before the pattern in errors.
  static Pattern regex(const std::string& pattern, const std::string& where);
  static Pattern literal(std::string text);

  /// Appends all matches in `text`, from left to right. They do not overlap; empty ones are found
  /// between characters, but not where another match ends. Error when it takes far too long.
  void find(std::string_view text, std::vector<ByteRange>& matches) const;

 private:
  Pattern() = default;
  void find_regex(std::string_view text, std::vector<ByteRange>& matches) const;

  std::string literal_;         // where there is no expression
  std::optional<Regex> regex_;  // its first group, where there is one: white space before the rest
  bool is_gpt2_ = false;
};

/// GPT-2's pattern in a range of the text: words with the space before them, numbers, other
/// characters, white space. Covers the range.
void split_gpt2(std::string_view text, ByteRange range, std::vector<ByteRange>& words);

/// What to do with the matches of a pattern.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
SplitBehavior split_behavior_from_json(const Json& json);

/// A stretch of a text, matched or between matches.
struct MatchPiece {
  ByteRange range;
  bool is_match;
};
/// Appends to `words` what a range becomes that consists of the pieces; empty ones are left out.
/// The pieces are overwritten.
void split_by(std::vector<MatchPiece>& pieces, SplitBehavior behavior,
              std::vector<ByteRange>& words);

}  // namespace qe
