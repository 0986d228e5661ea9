// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A hash table from strings to ids: open addressing, all text in one block. Hashes can be computed
// byte by byte, so that all prefixes of a word cost one pass.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qe {

class StringTable {
 public:
  static constexpr int32_t kNotFound = -1;

  /// Makes room for so many entries.
  void reserve(size_t n_entries);
  /// Adds text -> id (id >= 0), or replaces the id of a text that is there; returns the id it had,
  /// else kNotFound.
  int32_t insert(std::string_view text, int32_t id);

  int32_t find(std::string_view text) const { return find(text, hash(text)); }
  /// `hash` must be hash(text).
  int32_t find(std::string_view text, uint32_t hash) const;

  size_t size() const { return n_entries_; }
  size_t longest() const { return longest_; }  ///< bytes of the longest text

  /// hash("") is finish(kHashSeed); hash(s + c) is finish(step(state of s, c)).
  static constexpr uint64_t kHashSeed = 0xCBF29CE484222325ull;
  static uint64_t step(uint64_t state, char c) {
    return (state ^ static_cast<unsigned char>(c)) * 0x9E3779B97F4A7C15ull;
  }
  static uint32_t finish(uint64_t state) { return static_cast<uint32_t>(state >> 32 ^ state); }
  static uint32_t hash(std::string_view text);

 private:
  struct Slot {
    uint32_t hash;
    int32_t id = kNotFound;  // free
    uint32_t offset;         // into text_
    uint32_t length;
  };
  std::string_view text_of(const Slot& slot) const {
    return std::string_view(text_).substr(slot.offset, slot.length);
  }
  /// The slot of text, or the free slot where it belongs; kNoSlot when that is too far away.
  size_t locate(std::string_view text, uint32_t hash) const;
  void rehash(size_t n_slots);

  static constexpr size_t kNoSlot = SIZE_MAX;

  std::vector<Slot> slots_;  // a power of two of them, at most half used
  std::string text_;
  size_t n_entries_ = 0;
  size_t longest_ = 0;
};

}  // namespace qe
