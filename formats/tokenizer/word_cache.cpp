// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/word_cache.h"

#include <cstring>

namespace qe {

uint64_t WordCache::hash(std::string_view word) {
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15ull;
  uint64_t state = word.size() * kFactor;
  const auto mix = [&](uint64_t value) {
    state = (state ^ value) * kFactor;
    state ^= state >> 29;
  };
  const char* at = word.data();
  size_t left = word.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t value;
    std::memcpy(&value, at, 8);
    mix(value);
  }
  uint64_t value = 0;
  std::memcpy(&value, at, left);
  mix(value);
  state ^= state >> 32;
  return state == 0 ? 1 : state;
}

void WordCache::own(uint64_t owner) {
  if (owner_ == owner) return;
  owner_ = owner;
  clear();
}

void WordCache::clear() {
  slots_.assign(kSlots, Slot{});
  text_.clear();
  tokens_.clear();
  text_.reserve(kTextBytes);
  tokens_.reserve(kTokens);
}

void WordCache::insert(std::string_view word, uint64_t hash, std::span<const WordToken> tokens) {
  constexpr size_t kLongestWord = 256, kMostTokens = 64;
  if (word.size() > kLongestWord || tokens.size() > kMostTokens) return;
  if (text_.size() + word.size() > kTextBytes || tokens_.size() + tokens.size() > kTokens) clear();
  for (size_t k = 0; k < kProbes; ++k) {
    Slot& slot = slots_[(hash + k) % kSlots];
    if (slot.hash != 0) continue;
    slot = {hash, static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(tokens_.size()),
            static_cast<uint16_t>(word.size()), static_cast<uint16_t>(tokens.size())};
    text_.insert(text_.end(), word.begin(), word.end());
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    return;
  }
}

}  // namespace qe
