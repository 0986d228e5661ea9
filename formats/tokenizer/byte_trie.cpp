// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/byte_trie.h"

#include "formats/quote.h"
#include "formats/tokenizer/probing.h"
#include "kernels/core/error.h"

namespace qe {

ByteTrie::ByteTrie() : edges_(64), mask_(63), values_(1, kNone), is_leaf_(1, 0) {}

uint32_t ByteTrie::add_node() {
  QE_CHECK(values_.size() < size_t{1} << 24, "more than ", 1 << 24, " nodes of vocabulary text");
  values_.push_back(kNone);
  is_leaf_.push_back(1);
  return static_cast<uint32_t>(values_.size() - 1);
}

void ByteTrie::add_edge(uint32_t key, uint32_t child) {
  if (2 * (n_edges_ + 1) > edges_.size()) {
    std::vector<Edge> old(edges_.size() * 2);
    old.swap(edges_);
    mask_ = edges_.size() - 1;
    n_edges_ = 0;
    for (const Edge& edge : old) {
      if (edge.key != 0) add_edge(edge.key, edge.child);
    }
  }
  size_t at = hash(key) & mask_;
  for (size_t n = 0; edges_[at].key != 0; at = (at + 1) & mask_) check_probes(++n);
  edges_[at] = {key, child};
  ++n_edges_;
}

void ByteTrie::insert(std::string_view key, int32_t value) {
  QE_CHECK(!key.empty() && value >= 0, "a trie key without text or with value ", value);
  QE_CHECK(key.size() <= kMaxKey, "a token of ", key.size(), " bytes (", quote(key),
           "): expected at most ", kMaxKey);
  uint32_t& first = root_[static_cast<unsigned char>(key[0])];
  if (first == 0) first = add_node();
  uint32_t node = first;
  for (const char c : key.substr(1)) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = add_node();
      add_edge(node << 8 | byte, next);
      is_leaf_[node] = 0;
    }
    node = next;
  }
  values_[node] = value;
}

}  // namespace qe
