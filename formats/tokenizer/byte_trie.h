// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A trie over bytes: all keys that a text begins with, in one walk. Edges are in one hash table.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/tokenizer/probing.h"

namespace qe {

class ByteTrie {
 public:
  static constexpr int32_t kNone = -1;

  ByteTrie();
  /// Keys of more bytes are refused: a search walks down a whole key from every byte of a text.
  static constexpr size_t kMaxKey = 1024;

  /// Adds a key that is not empty, or gives it another value (>= 0).
  void insert(std::string_view key, int32_t value);
  bool empty() const { return values_.size() == 1; }
  bool has_key_from(char first) const { return root_[static_cast<unsigned char>(first)] != 0; }

  /// Calls found(length, value) for every key that text begins with, shortest first.
  template <class Found>
  void prefixes(std::string_view text, Found found) const {
    if (text.empty()) return;
    uint32_t node = root_[static_cast<unsigned char>(text[0])];
    for (size_t length = 1; node != 0; ++length) {
      if (values_[node] != kNone) found(length, values_[node]);
      if (length == text.size() || is_leaf_[node]) return;
      node = child(node, static_cast<unsigned char>(text[length]));
    }
  }

 private:
  struct Edge {
    uint32_t key = 0;  // node << 8 | byte; 0: free (edges of the root are not here)
    uint32_t child = 0;
  };
  static size_t hash(uint32_t key) { return (key * 0x9E3779B97F4A7C15ull) >> 20; }
  uint32_t child(uint32_t node, unsigned char byte) const {
    const uint32_t key = node << 8 | byte;
    size_t at = hash(key) & mask_;
    for (size_t n = 0; n < kMaxProbes; ++n, at = (at + 1) & mask_) {
      if (edges_[at].key == key) return edges_[at].child;
      if (edges_[at].key == 0) return 0;
    }
    return 0;
  }
  uint32_t add_node();
  void add_edge(uint32_t key, uint32_t child);

  std::array<uint32_t, 256> root_{};
  std::vector<Edge> edges_;  // a power of two of them, at most half used
  size_t mask_;
  size_t n_edges_ = 0;
  std::vector<int32_t> values_;   // by node; node 0 is the root
  std::vector<uint8_t> is_leaf_;  // by node: without edges
};

}  // namespace qe
