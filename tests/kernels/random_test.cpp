// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/random.h"

#include "tests/support/op_variants.h"
#include "tests/support/quantized.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

// The rule, written again.
uint64_t word_of(uint64_t stream, uint64_t i) {
  uint64_t z = stream + i * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Matrix uniform(uint64_t stream, float limit, int64_t rows, int64_t cols, int n_threads = 2) {
  Matrix out(rows, cols);
  run_planned(n_threads, [&](Context& ctx) { random_uniform(ctx, stream, limit, out.view()); });
  return out;
}

}  // namespace

DEVICE_TEST_CASE("random_uniform follows its rule") {
  for (const int64_t cols : {1, 7, 600}) {
    const Matrix out = uniform(99, 0.5f, 1001, cols);
    CHECK(out.guards_intact());
    for (int64_t i = 0; i < out.rows() * cols; ++i) {
      const uint64_t word = word_of(99, static_cast<uint64_t>(i) / 2);
      const auto half = static_cast<int32_t>(i % 2 == 0 ? word : word >> 32);
      const float want = static_cast<float>(half) * (0.5f * 0x1p-31f);
      REQUIRE(out.at(i / cols, i % cols) == test::rounded(want));
    }
  }
}

DEVICE_TEST_CASE("random_uniform is uniform, and streams differ") {
  const std::vector<double> values = test::doubles(uniform(5, 2.0f, 500, 400));
  double sum = 0, squares = 0, largest = 0;
  for (const double v : values) {
    sum += v;
    squares += v * v;
    largest = std::max(largest, std::abs(v));
  }
  // Five standard errors of a mean.
  CHECK(std::abs(sum / 2e5) < 5 * 2 / std::sqrt(6e5));
  CHECK(squares / 2e5 == doctest::Approx(4.0 / 3).epsilon(0.01));
  CHECK(largest <= 2.0);
  CHECK(largest > 1.999);
  CHECK(uniform(5, 2.0f, 3, 4).bits() != uniform(6, 2.0f, 3, 4).bits());
  test::check_same_everywhere(
      [](int n_threads) { return uniform(5, 2.0f, 600, 1000, n_threads).bits(); });
}

DEVICE_TEST_CASE("random_bytes follow their rule") {
  for (const size_t n : {size_t{1}, size_t{8}, size_t{300'005}}) {
    test::List<uint8_t> bytes(n, 0);
    run_planned(2, [&](Context& ctx) { random_bytes(ctx, 3, bytes.writable_span()); });
    const std::vector<uint8_t> found = bytes.host();
    for (size_t i = 0; i < n; ++i) {
      REQUIRE(found[i] == static_cast<uint8_t>(word_of(3, i / 8) >> (i % 8 * 8)));
    }
  }
}

TEST_CASE("random_uniform's contract") {
  Matrix wide(2, 3, 5);
  CHECK(test::error_of([&] {
          run_planned(1, [&](Context& ctx) { random_uniform(ctx, 1, 1.0f, wide.view()); });
        }) == "random_uniform: expected dense rows of 3, got a stride of 5");
}

}  // namespace qe
