// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/arena.h"

#include <algorithm>
#include <limits>

#include "kernels/core/error.h"

namespace qe {
namespace {

// Counting arenas count from here: no allocation looks like null, and none shares an address with
// real memory, which contracts would take for aliasing. User space ends at 2^57 or below.
constexpr uintptr_t kCountingBase = uintptr_t{1} << 60;

}  // namespace

Arena::Arena(void* slab, size_t n_bytes)
    : counting_(false), base_(reinterpret_cast<uintptr_t>(slab)), capacity_(n_bytes) {
  QE_CHECK(base_ % kAlignment == 0, "arena slab is not ", kAlignment, "-byte aligned");
}

void* Arena::allocate(size_t n_bytes) {
  const size_t size = std::max<size_t>((n_bytes + kAlignment - 1) / kAlignment, 1) * kAlignment;
  size_t begin = 0;
  auto hole = held_.begin();
  for (; hole != held_.end() && hole->begin - begin < size; ++hole) begin = hole->end;
  const size_t capacity = counting_ ? std::numeric_limits<size_t>::max() / 2 : capacity_;
  QE_CHECK(begin + size <= capacity, "the arena was planned for ", capacity_, " bytes, but ",
           begin + size, " are needed now");
  held_.insert(hole, Piece{begin, begin + size});
  in_use_ += size;
  high_water_ = std::max(high_water_, begin + size);
  return reinterpret_cast<void*>((counting_ ? kCountingBase : base_) + begin);
}

void Arena::release(void* piece) {
  const size_t begin = reinterpret_cast<uintptr_t>(piece) - (counting_ ? kCountingBase : base_);
  const auto found = std::lower_bound(held_.begin(), held_.end(), begin,
                                      [](const Piece& p, size_t at) { return p.begin < at; });
  if (found == held_.end() || found->begin != begin) return;  // after reset(): nothing to give back
  in_use_ -= found->end - found->begin;
  held_.erase(found);
}

void Arena::reset() {
  held_.clear();
  in_use_ = 0;
}

}  // namespace qe
