// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What must hold for the encoding of any text by any tokenizer.

#include <string>
#include <string_view>

#include "formats/tokenizer/tokenizer.h"
#include "formats/utf8.h"
#include "tests/fuzz/support.h"

namespace qe::fuzz {

inline int64_t code_points_of(std::string_view text) {
  int64_t n_replaced = 0;
  return count_code_points(replace_invalid_utf8(text, n_replaced));
}

inline bool is_equal(const Encoding& a, const Encoding& b) {
  return a.ids == b.ids && a.type_ids == b.type_ids && a.offsets == b.offsets &&
         a.special_tokens_mask == b.special_tokens_mask && a.word_ids == b.word_ids &&
         a.n_replaced_bytes == b.n_replaced_bytes;
}

/// `pair`: null for a single text. Offsets lie within their text.
inline void check_encoding(const Tokenizer& tokenizer, const Encoding& encoding,
                           std::string_view text, const std::string_view* pair,
                           int64_t max_length) {
  const size_t n = encoding.ids.size();
  require(encoding.type_ids.size() == n && encoding.offsets.size() == n &&
              encoding.special_tokens_mask.size() == n && encoding.word_ids.size() == n,
          "lists of different lengths");
  require(max_length == 0 || n <= static_cast<size_t>(max_length), "more than max_length tokens");
  int64_t longest = code_points_of(text);
  if (pair != nullptr) longest = std::max(longest, code_points_of(*pair));
  for (size_t k = 0; k < n; ++k) {
    tokenizer.token(encoding.ids[k]);  // throws when there is none
    const auto [begin, end] = encoding.offsets[k];
    require(0 <= begin && begin <= end && end <= longest, "offsets outside of the text");
    require(encoding.special_tokens_mask[k] == (encoding.word_ids[k] < 0), "masks disagree");
  }
}

/// Encodes, checks, and decodes what came out.
inline void check_round(const Tokenizer& tokenizer, std::string_view text,
                        const std::string_view* pair, const Tokenizer::EncodeOptions& options) {
  const auto encode = [&] {
    return pair != nullptr ? tokenizer.encode_pair(text, *pair, options)
                           : tokenizer.encode(text, options);
  };
  Encoding encoding;
  if (!succeeds([&] { encoding = encode(); })) return;
  check_encoding(tokenizer, encoding, text, pair, options.max_length);
  require(is_equal(encoding, encode()), "another encoding of the same text");
  succeeds([&] {
    const std::string decoded = tokenizer.decode(encoding.ids, false);
    require(valid_utf8_prefix_length(decoded) == decoded.size(), "decoded to invalid UTF-8");
    tokenizer.decode(encoding.ids, true);
  });
}

/// A tokenizer that was just loaded, on texts of its own and on a given one.
inline void check_tokenizer(const Tokenizer& tokenizer, std::string_view text) {
  const std::string_view more =
      "Né  [MASK] 中文<mask> don't\u0301 \U0001F468\u200D\U0001F469 12.5\t";
  check_round(tokenizer, text, nullptr, {});
  check_round(tokenizer, more, &text, {.max_length = 16});
  check_round(tokenizer, "", nullptr, {.add_special_tokens = false});
}

}  // namespace qe::fuzz
