// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/string_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "formats/tokenizer/probing.h"
#include "kernels/core/error.h"

namespace qe {

uint32_t StringTable::hash(std::string_view text) {
  uint64_t state = kHashSeed;
  for (const char c : text) state = step(state, c);
  return finish(state);
}

void StringTable::reserve(size_t n_entries) {
  const size_t n_slots = std::bit_ceil(std::max<size_t>(16, 2 * n_entries));
  if (n_slots > slots_.size()) rehash(n_slots);
}

void StringTable::rehash(size_t n_slots) {
  std::vector<Slot> old(n_slots);
  old.swap(slots_);
  const size_t mask = n_slots - 1;
  for (const Slot& slot : old) {
    if (slot.id == kNotFound) continue;
    size_t at = slot.hash & mask;
    for (size_t n = 0; slots_[at].id != kNotFound; at = (at + 1) & mask) check_probes(++n);
    slots_[at] = slot;
  }
}

size_t StringTable::locate(std::string_view text, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t n = 0; n < kMaxProbes; ++n) {
    const size_t at = (hash + n) & mask;
    const Slot& slot = slots_[at];
    if (slot.id == kNotFound || (slot.hash == hash && text_of(slot) == text)) return at;
  }
  return kNoSlot;
}

int32_t StringTable::insert(std::string_view text, int32_t id) {
  QE_CHECK(id >= 0, "expected an id of at least 0, got ", id);
  reserve(n_entries_ + 1);
  const uint32_t hashed = hash(text);
  const size_t at = locate(text, hashed);
  check_probes(at == kNoSlot ? kMaxProbes : 0);
  Slot& slot = slots_[at];
  const int32_t before = slot.id;
  if (before == kNotFound) {
    QE_CHECK(text_.size() + text.size() <= UINT32_MAX, "more than 4 GiB of vocabulary text");
    slot = {hashed, id, static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(text.size())};
    text_.append(text);
    ++n_entries_;
    longest_ = std::max(longest_, text.size());
  }
  slot.id = id;
  return before;
}

int32_t StringTable::find(std::string_view text, uint32_t hash) const {
  if (slots_.empty()) return kNotFound;
  const size_t at = locate(text, hash);
  return at == kNoSlot ? kNotFound : slots_[at].id;
}

}  // namespace qe
