// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/noise.h"

#include "tests/reference/noise.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

constexpr StepState kStep{.seed = 77, .epoch = 3};

// Sequences of 1, 5 and 3 tokens.
struct Batch {
  test::List<int32_t> cu_seqlens{0, 1, 6, 9};
  test::List<uint32_t> samples{40, 7, 12};
};

Matrix with_noise(Matrix x, const Batch& batch, float alpha, int n_threads = 2,
                  const StepState& step = kStep) {
  run_planned(n_threads, step, [&](Context& ctx) {
    embedding_noise(ctx, {.alpha = alpha,
                          .cu_seqlens = batch.cu_seqlens,
                          .sample_ids = batch.samples,
                          .x = x.view()});
  });
  return x;
}

}  // namespace

DEVICE_TEST_CASE("embedding_noise follows its rule element by element") {
  const Batch batch;
  for (const int64_t cols : {1, 6, 255, 256, 300}) {
    const Matrix x = Matrix::random(9, cols, 1, cols + 5);
    const Matrix y = with_noise(x, batch, 5.0f);
    CHECK(y.guards_intact());
    for (size_t b = 0; b < 3; ++b) {
      const int32_t begin = batch.cu_seqlens[b];
      const int32_t n = batch.cu_seqlens[b + 1] - begin;
      for (int32_t r = 0; r < n; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const double noise =
              reference::embedding_noise({kStep.seed, batch.samples[b], kStep.epoch,
                                          static_cast<uint32_t>(r), static_cast<uint32_t>(c)},
                                         5.0, n, static_cast<double>(cols));
          REQUIRE(static_cast<double>(y.at(begin + r, c)) ==
                  doctest::Approx(static_cast<double>(x.at(begin + r, c)) + noise)
                      .epsilon(test::tolerance(test::Result::kElements, 1e-6)));
        }
      }
    }
  }
}

DEVICE_TEST_CASE("embedding_noise is uniform, and none at alpha 0") {
  Batch batch;
  batch.cu_seqlens = {0, 200};
  batch.samples = {1};
  Matrix zeros(200, 500);
  for (int64_t t = 0; t < 200; ++t) {
    for (int64_t c = 0; c < 500; ++c) zeros.at(t, c) = 0.0f;
  }
  const double bound = 5.0 / std::sqrt(200.0 * 500.0);
  double sum = 0, squares = 0, largest = 0;
  for (const double v : test::doubles(with_noise(zeros, batch, 5.0f))) {
    sum += v;
    squares += v * v;
    largest = std::max(largest, std::abs(v));
  }
  CHECK(largest <= bound * (1 + test::tolerance(test::Result::kElements, 1e-6)));
  CHECK(largest > 0.999 * bound);
  CHECK(std::abs(sum / 1e5) < 5 * bound / std::sqrt(3e5));
  CHECK(squares / 1e5 == doctest::Approx(bound * bound / 3).epsilon(0.02));
  for (const double v : test::doubles(with_noise(zeros, batch, 0.0f))) REQUIRE(v == 0.0);
}

DEVICE_TEST_CASE("embedding_noise depends on seed, epoch and sample, not on the batch") {
  const Batch batch;
  const Matrix x = Matrix::random(9, 40, 1);
  const Matrix y = with_noise(x, batch, 5.0f);
  CHECK(with_noise(x, batch, 5.0f, 2, {.seed = 78, .epoch = 3}).bits() != y.bits());
  CHECK(with_noise(x, batch, 5.0f, 2, {.seed = 77, .epoch = 4}).bits() != y.bits());
  Batch alone;
  alone.cu_seqlens = {0, 5};
  alone.samples = {7};
  Matrix part(5, 40);
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t c = 0; c < 40; ++c) part.at(t, c) = x.at(t + 1, c);
  }
  const Matrix z = with_noise(part, alone, 5.0f);
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t c = 0; c < 40; ++c) REQUIRE(z.at(t, c) == y.at(t + 1, c));
  }
  test::check_same_everywhere(
      [&](int n_threads) { return with_noise(x, batch, 5.0f, n_threads).bits(); });
}

TEST_CASE("embedding_noise's contract") {
  Batch batch;
  const auto error = [&](float alpha) {
    return test::error_of([&] { with_noise(Matrix::random(9, 4, 1), batch, alpha); });
  };
  CHECK(error(1.0f) == "");
  CHECK(error(-1.0f) == "embedding_noise: expected alpha >= 0, got -1");
  batch.cu_seqlens = {0, 1, 6, 8};
  CHECK(error(1.0f) == "embedding_noise: expected sequences of 9 rows in all, got 8");
  batch.samples = {1, 2};
  CHECK(error(1.0f) == "embedding_noise: expected 4 sample_ids, got 3");
}

}  // namespace qe
