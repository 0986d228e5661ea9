// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Words that were tokenized before: text repeats itself. One cache for each thread, of bounded
// memory (about 3 MiB), emptied when it is full.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "formats/tokenizer/model.h"

namespace qe {

class WordCache {
 public:
  /// Empties the cache unless it is already this owner's (a number no two tokenizers share).
  void own(uint64_t owner);

  static uint64_t hash(std::string_view word);
  /// The word's tokens, or a null pointer. `hash` must be hash(word).
  const WordToken* find(std::string_view word, uint64_t hash, size_t& n_tokens) const {
    for (size_t k = 0; k < kProbes; ++k) {
      const Slot& slot = slots_[(hash + k) % kSlots];
      if (slot.hash != hash) continue;
      if (std::string_view(text_.data() + slot.text, slot.n_bytes) != word) continue;
      n_tokens = slot.n_tokens;
      return tokens_.data() + slot.first_token;
    }
    return nullptr;
  }
  /// Remembers a word that find() did not find.
  void insert(std::string_view word, uint64_t hash, std::span<const WordToken> tokens);

 private:
  static constexpr size_t kSlots = size_t{1} << 15, kProbes = 4;
  static constexpr size_t kTextBytes = size_t{1} << 20, kTokens = size_t{1} << 17;
  struct Slot {
    uint64_t hash = 0;  // 0: free, or a word that is not kept
    uint32_t text = 0, first_token = 0;
    uint16_t n_bytes = 0, n_tokens = 0;
  };
  void clear();

  uint64_t owner_ = 0;
  std::vector<Slot> slots_;
  std::vector<char> text_;
  std::vector<WordToken> tokens_;
};

}  // namespace qe
