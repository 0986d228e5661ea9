// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/lr_schedule.h"

#include <doctest/doctest.h>

#include "kernels/core/error.h"

namespace qe {

// Values of transformers.get_scheduler(name, optimizer, 3, 10), lr 1, over 10 updates.
TEST_CASE("lr_factor: transformers' values with 3 warm-up updates of 10") {
  const double linear[] = {0,       1.0 / 3, 2.0 / 3, 1,       6.0 / 7,
                           5.0 / 7, 4.0 / 7, 3.0 / 7, 2.0 / 7, 1.0 / 7};
  const double cosine[] = {0,
                           1.0 / 3,
                           2.0 / 3,
                           1,
                           0.95048443395120952,
                           0.81174490092936683,
                           0.61126046697815717,
                           0.38873953302184283,
                           0.18825509907063331,
                           0.049515566048790482};
  for (int s = 0; s < 10; ++s) {
    CHECK(lr_factor("linear", s, 3, 10) == doctest::Approx(linear[s]).epsilon(1e-12));
    CHECK(lr_factor("cosine", s, 3, 10) == doctest::Approx(cosine[s]).epsilon(1e-12));
    CHECK(lr_factor("constant", s, 3, 10) == 1.0);
    CHECK(lr_factor("constant_with_warmup", s, 3, 10) ==
          doctest::Approx(s < 3 ? s / 3.0 : 1.0).epsilon(1e-12));
  }
}

TEST_CASE("lr_factor: edges") {
  CHECK(lr_factor("linear", 10, 3, 10) == 0.0);
  CHECK(lr_factor("linear", 0, 0, 10) == 1.0);
  CHECK(lr_factor("linear", 0, 10, 10) == 0.0);
  CHECK_THROWS_WITH_AS(lr_factor("step", 0, 0, 1), doctest::Contains("\"step\""), Error);
}

}  // namespace qe
