// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/string_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

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
    while (slots_[at].id != kNotFound) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

size_t StringTable::locate(std::string_view text, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].id != kNotFound && (slots_[at].hash != hash || text_of(slots_[at]) != text)) {
    at = (at + 1) & mask;
  }
  return at;
}

int32_t StringTable::insert(std::string_view text, int32_t id) {
  QE_CHECK(id >= 0, "expected an id of at least 0, got ", id);
  reserve(n_entries_ + 1);
  const uint32_t hashed = hash(text);
  Slot& slot = slots_[locate(text, hashed)];
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
  return slots_.empty() ? kNotFound : slots_[locate(text, hash)].id;
}

}  // namespace qe
