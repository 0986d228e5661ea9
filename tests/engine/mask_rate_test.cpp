// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/mask_rate.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace qe {

TEST_CASE("mask_rate: from the first update to the last, in a line or half a wave") {
  const MaskRate line({.begin = 0.3, .end = 0.15, .total = 11});
  const MaskRate wave({.begin = 0.3, .end = 0.15, .cosine = true, .total = 11});
  for (const MaskRate& rate : {line, wave}) {
    CHECK(rate.at(0) == 0.3);
    CHECK(rate.at(5) == doctest::Approx(0.225).epsilon(1e-12));
    CHECK(rate.at(10) == doctest::Approx(0.15).epsilon(1e-12));
    CHECK(rate.at(11) == rate.at(10));
  }
  CHECK(line.at(1) == doctest::Approx(0.285).epsilon(1e-12));
  // 0.15 + 0.15 (1 + cos(pi / 10)) / 2
  CHECK(wave.at(1) == doctest::Approx(0.296329238722).epsilon(1e-9));
  CHECK(MaskRate({.begin = 0.1, .end = 0.4, .total = 1}).at(0) == 0.1);
}

}  // namespace qe
