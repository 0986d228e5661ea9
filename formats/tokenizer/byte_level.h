// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// GPT-2's bytes as characters: a vocabulary of texts that can spell any bytes. Printable bytes of
// Latin-1 stand for themselves, the other 68 are U+0100 and up, in order (space is U+0120).

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "formats/tokenizer/pattern.h"
#include "formats/tokenizer/pretokenizer.h"

namespace qe {

/// The character of each byte.
const std::array<char32_t, 256>& byte_level_chars();
/// The byte that a character stands for.
std::optional<unsigned char> byte_of_char(char32_t c);

/// Appends bytes [begin, end) of `text` as characters.
void append_byte_level(const NormalizedText& text, size_t begin, size_t end, NormalizedText& out);

/// Cuts words by GPT-2's pattern and turns them into characters of bytes.
class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;

 private:
  bool add_prefix_space_;
  bool use_regex_;
};

}  // namespace qe
