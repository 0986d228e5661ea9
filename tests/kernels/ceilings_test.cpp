// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/ceilings.h"

#include <doctest/doctest.h>

#include "tests/support/op_context.h"

namespace qe {
namespace {

TEST_CASE("ceilings: rates of this machine") {
  ThreadPool threads(2);
  Context ctx{.threads = &threads};
  // No core that runs this does fewer than one or more than 1000 multiply-adds per nanosecond.
  const double gflops = measure_gflops(ctx);
  CHECK(gflops > 0.1);
  CHECK(gflops < 4000.0);
  test::Matrix from = test::Matrix::random(64, 1024, 1), to(64, 1024);
  CHECK(measure_copy_gbytes(ctx, from.view(), to.view()) > 0.01);
  CHECK(to.bits() == from.bits());
  CHECK(to.guards_intact());
}

TEST_CASE("ceilings: the copy's contract") {
  ThreadPool threads(1);
  Context ctx{.threads = &threads};
  test::Matrix from(4, 8), other(4, 9), strided(4, 8, 10);
  CHECK_THROWS_WITH_AS(measure_copy_gbytes(ctx, from.view(), other.view()),
                       doctest::Contains("expected to of 4 x 8, got 4 x 9"), Error);
  CHECK_THROWS_WITH_AS(measure_copy_gbytes(ctx, from.view(), strided.view()),
                       doctest::Contains("expected dense matrices"), Error);
}

}  // namespace
}  // namespace qe
