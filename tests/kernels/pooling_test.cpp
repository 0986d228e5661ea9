// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/pooling.h"

#include "tests/reference/pooling.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

// Sequences of 1, 5, 64 and 3 rows.
constexpr int32_t kSequences[] = {0, 1, 6, 70, 73};

Matrix mean_of(Matrix x, int64_t stride, int n_threads = 2) {
  const test::List<int32_t> cu_seqlens(
      std::vector<int32_t>(std::begin(kSequences), std::end(kSequences)));
  Matrix y = Matrix(4, x.cols(), stride).of_f32();
  run_planned(n_threads, [&](Context& ctx) {
    sequence_mean(ctx, {.x = x.view(), .cu_seqlens = cu_seqlens, .y = y.view()});
  });
  return y;
}

}  // namespace

DEVICE_TEST_CASE("sequence_mean is the mean of each sequence's rows") {
  for (const int64_t cols : {1, 6, 64, 300}) {
    for (const int64_t room : {0, 3, 4}) {
      const Matrix x = Matrix::random(73, cols, 1, cols + room);
      const Matrix y = mean_of(x, cols + room);
      CHECK(y.guards_intact());
      std::vector<double> values;
      for (int64_t r = 0; r < 73; ++r) {
        for (int64_t c = 0; c < cols; ++c) values.push_back(static_cast<double>(x.at(r, c)));
      }
      const std::vector<double> expected =
          reference::sequence_mean(values, cols, {std::begin(kSequences), std::end(kSequences)});
      for (int64_t b = 0; b < 4; ++b) {
        for (int64_t c = 0; c < cols; ++c) {
          // Of numbers below 1: 64 roundings of sums below 64.
          REQUIRE(std::abs(static_cast<double>(y.at(b, c)) - expected[b * cols + c]) < 4e-6);
        }
      }
    }
  }
}

TEST_CASE("sequence_mean has the same bits for any number of threads") {
  const Matrix x = Matrix::random(73, 300, 2);
  const Matrix one = mean_of(x, 300, 1);
  const Matrix three = mean_of(x, 300, 3);
  for (int64_t b = 0; b < 4; ++b) {
    for (int64_t c = 0; c < 300; ++c) REQUIRE(one.at(b, c) == three.at(b, c));
  }
}

TEST_CASE("sequence_mean refuses empty sequences, and sequences of other rows") {
  const auto refused = [](const std::vector<int32_t>& cu_seqlens) {
    return test::error_of([&] {
      Matrix x = Matrix::random(5, 4, 3);
      Matrix y = Matrix(2, 4).of_f32();
      run_planned(1, [&](Context& ctx) {
        sequence_mean(ctx, {.x = x.view(), .cu_seqlens = cu_seqlens, .y = y.view()});
      });
    });
  };
  CHECK(refused({0, 2, 2}).find("sequences of 5 rows in all, got 2") != std::string::npos);
  CHECK(refused({0, 5, 5}).find("sequence 1 is empty") != std::string::npos);
  CHECK(refused({0, 5}) != "");
}

}  // namespace qe
