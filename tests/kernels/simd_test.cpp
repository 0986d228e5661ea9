// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <doctest/doctest.h>

#include "kernels/cpu/isa.h"

namespace qe::cpu {

TEST_CASE("isa: the forced instruction set is the one that runs") {
  for (const Isa candidate : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon}) {
    if (!isa_supported(candidate)) continue;
    const ScopedIsa forced(candidate);
    CHECK(isa_name() == isa_name(candidate));
    CHECK(running_isa_name() == isa_name(candidate));
  }
}

}  // namespace qe::cpu
