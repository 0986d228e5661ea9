// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/memory/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/core/error.h"

namespace qe {

void Memory::Free::operator()(void* block) const { std::free(block); }

void* Memory::allocate(const std::string& row, size_t n_bytes, MemoryKind kind) {
  constexpr size_t kAlignment = 64;
  const size_t size = std::max<size_t>((n_bytes + kAlignment - 1) / kAlignment, 1) * kAlignment;
  auto found = std::find_if(rows_.begin(), rows_.end(),
                            [&](const MemoryRow& r) { return r.name == row && r.kind == kind; });
  if (found == rows_.end()) found = rows_.insert(rows_.end(), MemoryRow{row, kind, 0});
  found->n_bytes += size;
  if (planning_) {
    const uintptr_t address = next_counting_address_;
    next_counting_address_ += size;
    return reinterpret_cast<void*>(address);
  }
  void* block = std::aligned_alloc(kAlignment, size);
  QE_CHECK(block != nullptr, "out of memory: ", size, " bytes for ", row);
  blocks_.emplace_back(block);
  std::memset(block, 0, size);
  return block;
}

size_t Memory::total() const {
  size_t sum = 0;
  for (const MemoryRow& row : rows_) sum += row.n_bytes;
  return sum;
}

}  // namespace qe
