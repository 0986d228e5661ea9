// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Regular expressions in linear time and bounded memory (re2 behind this one header).

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace qe {

/// A compiled pattern in re2's syntax (UTF-8; of alternatives the first that matches wins). Any
/// number of threads may match.
class Regex {
 public:
  /// Throws Error naming the pattern and what is wrong with it. There is no look-ahead, look-behind
  /// or back-reference.
  explicit Regex(const std::string& pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// Whether the pattern matches the whole text.
  bool full_match(std::string_view text) const;

  struct Match {
    size_t begin, end;                      ///< bytes of the text
    bool group;                             ///< whether the first capturing group took part
    size_t group_begin = 0, group_end = 0;  ///< where, if it did
  };
  /// The leftmost match at or after byte `from` (<= size of text).
  std::optional<Match> search(std::string_view text, size_t from) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qe
