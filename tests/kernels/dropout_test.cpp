// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/dropout.h"

#include "tests/reference/dropout.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

// T rows that belong to samples in an arbitrary way.
struct Rows {
  test::List<uint32_t> samples, indices;
  explicit Rows(int64_t n, uint32_t first_sample = 7) {
    for (int64_t t = 0; t < n; ++t) {
      samples.push_back(first_sample + static_cast<uint32_t>(t) / 5);
      indices.push_back(static_cast<uint32_t>(t) % 5);
    }
  }
  Dropout spec(float p) const {
    return {.p = p, .layer = 3, .site = 2, .row_samples = samples, .row_indices = indices};
  }
};

constexpr StepState kStep{.seed = 1234, .epoch = 2};

DEVICE_TEST_CASE("dropout follows the random number rule element by element") {
  for (const int64_t cols : {1, 5, 16, 255, 256, 257, 700}) {
    const int64_t n = 12;
    const Rows rows(n);
    Matrix x = Matrix::random(n, cols, 1, cols + 3);
    Matrix y(n, cols, cols + 1);
    run_planned(2, kStep, [&](Context& ctx) { dropout(ctx, rows.spec(0.3f), x.view(), y.view()); });
    CHECK(y.guards_intact());
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t c = 0; c < cols; ++c) {
        const double scale = reference::keep_scale(
            {kStep.seed, RandomPurpose::kHiddenDropout, rows.samples[static_cast<size_t>(t)],
             kStep.epoch, 3, 2, rows.indices[static_cast<size_t>(t)], static_cast<uint32_t>(c)},
            0.3f);
        CHECK(static_cast<double>(y.at(t, c)) ==
              doctest::Approx(static_cast<double>(x.at(t, c)) * scale)
                  .epsilon(test::tolerance(test::Result::kElements, 1e-6)));
        CHECK((y.at(t, c) == 0.0f) == (scale == 0.0));
      }
    }
  }
}

DEVICE_TEST_CASE("dropout drops its share, and a dropped NaN is gone") {
  const int64_t n = 200;
  const int64_t cols = 1000;
  const Rows rows(n);
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    Matrix x(n, cols);
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t c = 0; c < cols; ++c) x.at(t, c) = 1.0f;
    }
    Matrix y(n, cols);
    run_planned(1, kStep, [&](Context& ctx) { dropout(ctx, rows.spec(p), x.view(), y.view()); });
    int64_t kept = 0;
    double sum = 0.0;
    for (const double v : test::doubles(y)) {
      kept += v != 0.0;
      sum += v;
    }
    const double n_elements = static_cast<double>(n * cols);
    const double sigma =
        std::sqrt(static_cast<double>(p) * (1.0 - static_cast<double>(p)) / n_elements);
    CHECK(std::fabs(static_cast<double>(kept) / n_elements - (1.0 - static_cast<double>(p))) <
          5.0 * sigma);
    CHECK(std::fabs(sum / n_elements - 1.0) < 5.0 * sigma / (1.0 - static_cast<double>(p)) +
                                                  test::tolerance(test::Result::kElements, 0.0));
  }
  Matrix nan(1, 64);  // as made
  Matrix y(1, 64);
  const Rows one(1);
  run_planned(1, kStep, [&](Context& ctx) { dropout(ctx, one.spec(0.5f), nan.view(), y.view()); });
  int64_t zeros = 0;
  for (int64_t c = 0; c < 64; ++c) zeros += y.at(0, c) == 0.0f;
  CHECK(zeros > 10);
}

DEVICE_TEST_CASE("dropout without p copies, in place too") {
  Matrix x = Matrix::random(3, 21, 5);
  Matrix y(3, 21);
  run_planned(1, [&](Context& ctx) { dropout(ctx, {}, x.view(), y.view()); });
  CHECK(y.bits() == x.bits());
  const Rows rows(3);
  run_planned(1, kStep, [&](Context& ctx) { dropout(ctx, rows.spec(0.4f), x.view(), y.view()); });
  run_planned(1, kStep, [&](Context& ctx) { dropout(ctx, rows.spec(0.4f), x.view(), x.view()); });
  CHECK(y.bits() == x.bits());
}

DEVICE_TEST_CASE("a row's mask does not depend on the rows beside it") {
  Matrix x = Matrix::random(10, 300, 5);
  Matrix all(10, 300);
  Matrix one(1, 300);
  const Rows rows(10);
  run_planned(1, kStep, [&](Context& ctx) { dropout(ctx, rows.spec(0.4f), x.view(), all.view()); });
  Dropout spec = rows.spec(0.4f);
  spec.row_samples = spec.row_samples.subspan(6, 1);
  spec.row_indices = spec.row_indices.subspan(6, 1);
  run_planned(1, kStep,
              [&](Context& ctx) { dropout(ctx, spec, x.view().row_range(6, 1), one.view()); });
  for (int64_t c = 0; c < 300; ++c) CHECK(one.at(0, c) == all.at(6, c));
}

DEVICE_TEST_CASE("dropout onto a residual is the sum of both, also in place") {
  Matrix x = Matrix::random(9, 301, 9);
  Matrix residual = Matrix::random(9, 301, 10, 304);
  const Rows rows(9);
  for (const float p : {0.0f, 0.4f}) {
    const Dropout spec = p > 0.0f ? rows.spec(p) : Dropout{};
    Matrix dropped(9, 301), sum(9, 301), onto_residual(9, 301), onto_x(9, 301);
    for (int64_t t = 0; t < 9; ++t) {
      for (int64_t c = 0; c < 301; ++c) {
        onto_residual.at(t, c) = residual.at(t, c);
        onto_x.at(t, c) = x.at(t, c);
      }
    }
    run_planned(2, kStep, [&](Context& ctx) {
      dropout(ctx, spec, x.view(), dropped.view());
      dropout(ctx, spec, x.view(), sum.view(), residual.view());
      dropout(ctx, spec, x.view(), onto_residual.view(), onto_residual.view());
      dropout(ctx, spec, onto_x.view(), onto_x.view(), residual.view());
    });
    for (int64_t t = 0; t < 9; ++t) {
      for (int64_t c = 0; c < 301; ++c) {
        CHECK(test::alike(sum.at(t, c), residual.at(t, c) + dropped.at(t, c)));
        CHECK(sum.at(t, c) == onto_residual.at(t, c));
        CHECK(sum.at(t, c) == onto_x.at(t, c));
      }
    }
  }
}

DEVICE_TEST_CASE("dropout gives the same bits everywhere") {
  Matrix x = Matrix::random(33, 521, 9);
  const Rows rows(33);
  test::check_same_everywhere([&](int n_threads) {
    Matrix y(33, 521);
    run_planned(n_threads, kStep,
                [&](Context& ctx) { dropout(ctx, rows.spec(0.1f), x.view(), y.view()); });
    return y.bits();
  });
}

TEST_CASE("dropout's contract") {
  Matrix x = Matrix::random(3, 8, 1);
  Matrix y(3, 9);
  const Rows rows(3);
  const Rows few(2);
  const auto error = [&](const Dropout& spec, const Tensor& out, bool with_step) {
    return test::error_of([&] {
      run_planned(1, [&](Context& ctx) {
        if (!with_step) ctx.step = nullptr;
        dropout(ctx, spec, x.view(), out);
      });
    });
  };
  CHECK(error({}, y.view(), true) == "dropout: expected y of 3 x 8, got 3 x 9");
  const Tensor out = y.view().col_range(0, 8);
  CHECK(error(rows.spec(1.0f), out, true) == "dropout: expected dropout p in [0, 1), got 1");
  CHECK(error(few.spec(0.5f), out, true) == "dropout: expected 3 dropout row_samples, got 2");
  CHECK(error(rows.spec(0.5f), out, false).find("Context::step") != std::string::npos);
  CHECK(error(rows.spec(0.5f), out, true).empty());
}

}  // namespace
}  // namespace qe
