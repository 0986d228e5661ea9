// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/epoch_plan.h"

#include <doctest/doctest.h>

#include <cmath>

namespace qe {

TEST_CASE("epoch_plan: epochs that are alike") {
  const EpochPlan plan({11}, 4);
  CHECK(plan.updates(0) == 3);
  CHECK(plan.updates(7) == 3);
  CHECK(plan.place_of(0).epoch == 0);
  CHECK(plan.place_of(2).update == 2);
  CHECK(plan.place_of(3).epoch == 1);
  CHECK(plan.place_of(3).update == 0);
  CHECK(plan.place_of(3000001).epoch == 1000000);
  CHECK(plan.place_of(3000001).update == 1);
  CHECK(plan.epochs_of(0) == 0.0);
  CHECK(plan.epochs_of(2) == 8.0 / 11.0);
  CHECK(plan.epochs_of(3) == 1.0);
  CHECK(plan.epochs_of(7) == 2.0 + 4.0 / 11.0);
  // As transformers has it, to the rounding.
  for (const int64_t batches : {1, 7, 10, 64}) {
    for (double epochs = 0.05; epochs < 12; epochs += 0.05) {
      CHECK(EpochPlan({batches}, 1).updates_of(epochs) ==
            static_cast<int64_t>(std::ceil(epochs * static_cast<double>(batches))));
    }
  }
}

TEST_CASE("epoch_plan: epochs of their own lengths") {
  const EpochPlan plan({5, 8, 6}, 2);  // 3, 4 and 3 updates
  CHECK(plan.updates_of(2) == 7);
  CHECK(plan.updates_of(2.5) == 9);
  CHECK(plan.updates_of(4) == 13);  // as the last one
  const int64_t epochs[] = {0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3};
  const int64_t updates[] = {0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 0};
  for (int64_t step = 0; step < 11; ++step) {
    CHECK(plan.place_of(step).epoch == epochs[step]);
    CHECK(plan.place_of(step).update == updates[step]);
  }
  CHECK(plan.epochs_of(6) == 1.75);
  CHECK(plan.epochs_of(7) == 2.0);
}

}  // namespace qe
