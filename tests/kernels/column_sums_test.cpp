// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/column_sums.h"

#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

// Terms and sums are fp32 on every device.
constexpr double kTolerance = 1e-5;

DEVICE_TEST_CASE("column_sums adds to what is there, against float64") {
  using Shape = std::tuple<int64_t, int64_t, int64_t>;
  for (const auto& [rows, cols, stride] : test::sizes<Shape>({{1, 1, 0},
                                                              {3, 7, 9},
                                                              {127, 48, 0},
                                                              {129, 48, 64},
                                                              {300, 3000, 0},
                                                              {2600, 16, 0},
                                                              {4099, 769, 772},
                                                              {9000, 264, 0},
                                                              {5, 70000, 0}},
                                                             {{129, 48, 64}, {300, 7, 9}})) {
    CAPTURE(rows);
    CAPTURE(cols);
    Matrix x = Matrix::random(rows, cols, 1, stride);
    Matrix out = Matrix::random(1, cols, 2).of_f32();
    Doubles expected = test::doubles(out);
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t c = 0; c < cols; ++c) expected[static_cast<size_t>(c)] += double{x.at(t, c)};
    }
    run_planned(2, [&](Context& ctx) { column_sums(ctx, x.view(), out.view()); });
    CHECK(test::relative_error(out, expected) < kTolerance);
  }
}

DEVICE_TEST_CASE("column_sums of no rows changes nothing") {
  Matrix x(0, 20);
  Matrix out = Matrix::random(1, 20, 2).of_f32();
  const std::vector<uint32_t> before = out.bits();
  run_planned(2, [&](Context& ctx) { column_sums(ctx, x.view(), out.view()); });
  CHECK(out.bits() == before);
}

DEVICE_TEST_CASE("column_sums gives the same bits everywhere") {
  Matrix x = Matrix::random(1033, 75, 1);
  test::check_same_everywhere([&](int n_threads) {
    Matrix out = Matrix::random(1, 75, 2).of_f32();
    run_planned(n_threads, [&](Context& ctx) { column_sums(ctx, x.view(), out.view()); });
    return out.bits();
  });
}

TEST_CASE("column_sums is one chain of sums, also over several calls") {
  Matrix x = Matrix::random(500, 37, 1, 40);
  Matrix out = Matrix::random(1, 37, 2), parts = out;
  Matrix chain = out;
  for (int64_t t = 0; t < 500; ++t) {
    for (int64_t c = 0; c < 37; ++c) chain.at(0, c) += x.at(t, c);
  }
  run_planned(3, [&](Context& ctx) {
    column_sums(ctx, x.view(), out.view());
    for (const auto& [begin, n] : {std::pair<int64_t, int64_t>{0, 64}, {64, 1}, {65, 435}}) {
      column_sums(ctx, x.view().row_range(begin, n), parts.view());
    }
  });
  CHECK(out.bits() == chain.bits());
  CHECK(parts.bits() == chain.bits());
}

TEST_CASE("column_sums' contract, and scratch that does for fewer rows") {
  Matrix x = Matrix::random(4, 9, 1), out = Matrix::random(1, 9, 2);
  const auto error = [&](const Tensor& from, const Tensor& to) {
    return test::error_of(
        [&] { run_planned(1, [&](Context& ctx) { column_sums(ctx, from, to); }); });
  };
  CHECK(error(x.view(), out.view()).empty());
  CHECK(error(x.view(), out.view().col_range(0, 8)) ==
        "column_sums: expected out of 1 x 9, got 1 x 8");
  CHECK(error(x.view(), x.view().row_range(1, 1)) ==
        "column_sums: x and out must not share memory");
  const Context gpu{.device = {DeviceKind::kCuda, 0}, .compute = DType::kBF16};
  for (const int64_t cols : {1, 768, 4096, 250002}) {
    size_t before = 0;
    for (int64_t rows = 0; rows < 6000; rows += 7) {
      const size_t bytes = column_sums_workspace_bytes(gpu, rows, cols);
      CHECK(bytes >= before);
      before = bytes;
    }
  }
}

}  // namespace
}  // namespace qe
