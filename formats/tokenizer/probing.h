// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Hash tables of what a file says, with a hash that the file's author knows: no entry is further
// from its place than kMaxProbes, so no search is longer.

#include <cstddef>

#include "kernels/core/error.h"

namespace qe {

/// In tables that are at most half full, a good hash leaves 16 million entries within about 100.
inline constexpr size_t kMaxProbes = 256;

/// To be called for every taken slot that an insertion passes, with their number.
inline void check_probes(size_t n) {
  QE_CHECK(n < kMaxProbes, "more than ", kMaxProbes, " tokens or merge rules of one hash value");
}

}  // namespace qe
