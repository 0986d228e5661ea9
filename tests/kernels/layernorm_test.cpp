// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/layernorm.h"

#include "tests/reference/dropout.h"
#include "tests/reference/layernorm.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

constexpr StepState kStep{.seed = 99, .epoch = 1};
constexpr float kEpsilon = 1e-5f;

// One fused layer norm with all of its inputs.
struct Problem {
  int64_t rows, cols;
  float p;
  Matrix x, residual, gamma, beta, dy, d_sum;
  test::List<uint32_t> samples, indices;

  Problem(int64_t n_rows, int64_t n_cols, float dropout_p)
      : rows(n_rows),
        cols(n_cols),
        p(dropout_p),
        x(Matrix::random(rows, cols, 1, cols + 3)),
        residual(Matrix::random(rows, cols, 2)),
        gamma(Matrix::random(1, cols, 3).of_f32()),
        beta(Matrix::random(1, cols, 4).of_f32()),
        dy(Matrix::random(rows, cols, 5, cols + 1)),
        d_sum(Matrix::random(rows, cols, 6)) {
    for (int64_t t = 0; t < rows; ++t) {
      samples.push_back(static_cast<uint32_t>(t) / 3);
      indices.push_back(static_cast<uint32_t>(t) % 3);
    }
  }
  Dropout dropout() const {
    return {.p = p, .layer = 5, .site = 1, .row_samples = samples, .row_indices = indices};
  }
  double scale(int64_t t, int64_t c) const {
    return reference::keep_scale(
        {kStep.seed, RandomPurpose::kHiddenDropout, samples[static_cast<size_t>(t)], kStep.epoch, 5,
         1, indices[static_cast<size_t>(t)], static_cast<uint32_t>(c)},
        p);
  }
  static Doubles row(const Matrix& m, int64_t t) {
    Doubles out;
    for (int64_t c = 0; c < m.cols(); ++c) out.push_back(static_cast<double>(m.at(t, c)));
    return out;
  }
  Doubles sum_row(int64_t t) const {
    Doubles sum = row(residual, t);
    for (int64_t c = 0; c < cols; ++c) {
      sum[static_cast<size_t>(c)] += static_cast<double>(x.at(t, c)) * scale(t, c);
    }
    return sum;
  }
};

struct Outputs {
  Matrix sum, y, d_residual, d_x, d_gamma, d_beta;
  explicit Outputs(const Problem& p)
      : sum(p.rows, p.cols, p.cols + 2),
        y(p.rows, p.cols),
        d_residual(p.rows, p.cols),
        d_x(p.rows, p.cols, p.cols + 4),
        d_gamma(Matrix::random(1, p.cols, 7).of_f32()),
        d_beta(Matrix::random(1, p.cols, 8).of_f32()) {}
};

void run(int n_threads, Problem& p, Outputs& o) {
  run_planned(n_threads, kStep, [&](Context& ctx) {
    layernorm_forward(ctx, {.x = p.x.view(),
                            .residual = p.residual.view(),
                            .dropout = p.dropout(),
                            .gamma = p.gamma.view(),
                            .beta = p.beta.view(),
                            .epsilon = kEpsilon,
                            .sum = o.sum.view(),
                            .y = o.y.view()});
    layernorm_backward(ctx, {.sum = o.sum.view(),
                             .gamma = p.gamma.view(),
                             .epsilon = kEpsilon,
                             .dropout = p.dropout(),
                             .dy = p.dy.view(),
                             .d_sum = p.d_sum.view(),
                             .d_residual = o.d_residual.view(),
                             .d_x = o.d_x.view(),
                             .d_gamma = o.d_gamma.view(),
                             .d_beta = o.d_beta.view()});
  });
}

TEST_CASE("the reference's gradient is that of its value") {
  const Doubles row = {0.3, -1.2, 0.7, 2.0, -0.4};
  const Doubles gamma = {1.0, 0.5, -0.3, 2.0, 1.5};
  const Doubles beta(5, 0.1);
  const Doubles dy = {0.2, -0.7, 1.1, 0.4, -0.9};
  const Doubles gradient = reference::layernorm_gradient(row, 1e-5, gamma, dy);
  constexpr double kDelta = 1e-6;
  for (size_t i = 0; i < row.size(); ++i) {
    Doubles up = row;
    Doubles down = row;
    up[i] += kDelta;
    down[i] -= kDelta;
    const Doubles y_up = reference::layernorm(up, 1e-5, gamma, beta);
    const Doubles y_down = reference::layernorm(down, 1e-5, gamma, beta);
    double slope = 0.0;
    for (size_t j = 0; j < row.size(); ++j) slope += dy[j] * (y_up[j] - y_down[j]) / (2 * kDelta);
    CHECK(gradient[i] == doctest::Approx(slope).epsilon(1e-7));
  }
}

DEVICE_TEST_CASE("layernorm matches float64, forward and backward") {
  for (const float p : {0.0f, 0.2f}) {
    for (const auto& [rows, cols] :
         {std::pair<int64_t, int64_t>{1, 768}, {127, 48}, {129, 37}, {3, 1}, {2, 16}, {5, 1030}}) {
      CAPTURE(rows);
      CAPTURE(cols);
      Problem problem(rows, cols, p);
      Outputs o(problem);
      Doubles sum, y, d_residual, d_x;
      Doubles d_gamma = Problem::row(o.d_gamma, 0);
      Doubles d_beta = Problem::row(o.d_beta, 0);
      const Doubles gamma = Problem::row(problem.gamma, 0);
      for (int64_t t = 0; t < rows; ++t) {
        const Doubles s = problem.sum_row(t);
        const Doubles dy = Problem::row(problem.dy, t);
        const Doubles norm =
            reference::layernorm(s, kEpsilon, gamma, Problem::row(problem.beta, 0));
        const Doubles xhat = reference::normalize(s, kEpsilon).xhat;
        const Doubles ds = reference::layernorm_gradient(s, kEpsilon, gamma, dy);
        for (size_t c = 0; c < s.size(); ++c) {
          const int64_t column = static_cast<int64_t>(c);
          sum.push_back(s[c]);
          y.push_back(norm[c]);
          d_residual.push_back(ds[c] + static_cast<double>(problem.d_sum.at(t, column)));
          d_x.push_back(d_residual.back() * problem.scale(t, column));
          d_gamma[c] += dy[c] * xhat[c];
          d_beta[c] += dy[c];
        }
      }
      run(2, problem, o);
      CHECK(test::relative_error(o.sum, sum) < test::tolerance(test::Result::kElements, 1e-7));
      CHECK(test::relative_error(o.y, y) < test::tolerance(test::Result::kElements, 1e-6));
      CHECK(test::relative_error(o.d_residual, d_residual) <
            test::tolerance(test::Result::kElements, 2e-6));
      CHECK(test::relative_error(o.d_x, d_x) < test::tolerance(test::Result::kElements, 2e-6));
      CHECK(test::relative_error(o.d_gamma, d_gamma) <
            test::tolerance(test::Result::kElements, 2e-6));
      CHECK(test::relative_error(o.d_beta, d_beta) <
            test::tolerance(test::Result::kElements, 1e-6));
    }
  }
}

TEST_CASE("layernorm of large offsets keeps its digits") {
  Problem p(4, 320, 0.0f);
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t c = 0; c < 320; ++c) p.x.at(t, c) = 1000.0f + p.residual.at(t, c);
  }
  Matrix sum(4, 320);
  Matrix y(4, 320);
  run_planned(1, [&](Context& ctx) {
    layernorm_forward(ctx,
                      {.x = p.x.view(), .gamma = p.gamma.view(), .sum = sum.view(), .y = y.view()});
  });
  Doubles expected;
  for (int64_t t = 0; t < 4; ++t) {
    for (const double v : reference::layernorm(Problem::row(p.x, t), 1e-12,
                                               Problem::row(p.gamma, 0), Doubles(320, 0.0))) {
      expected.push_back(v);
    }
  }
  // Lane sums near 20000 are rounded to 2e-3: the mean may be off by some 1e-4 of the deviation. A
  // one-pass variance would have no digit left: 1e6 in fp32 is rounded to 0.06.
  CHECK(test::relative_error(y, expected) < 5e-4);
  CHECK(sum.bits() == p.x.bits());
}

DEVICE_TEST_CASE("layernorm in place, accumulating, and with parts left out") {
  Problem p(9, 70, 0.1f);
  Outputs o(p);
  run(1, p, o);
  // sum over x, d_x over dy.
  Matrix x = p.x;
  Matrix y(9, 70);
  Matrix dy = p.dy;
  Matrix d_residual = o.d_residual;  // added to
  run_planned(2, kStep, [&](Context& ctx) {
    layernorm_forward(ctx, {.x = x.view(),
                            .residual = p.residual.view(),
                            .dropout = p.dropout(),
                            .gamma = p.gamma.view(),
                            .beta = p.beta.view(),
                            .epsilon = kEpsilon,
                            .sum = x.view(),
                            .y = y.view()});
    layernorm_backward(ctx, {.sum = x.view(),
                             .gamma = p.gamma.view(),
                             .epsilon = kEpsilon,
                             .dropout = p.dropout(),
                             .dy = dy.view(),
                             .d_sum = p.d_sum.view(),
                             .d_residual = d_residual.view(),
                             .d_residual_mode = GradientMode::kAccumulate,
                             .d_x = dy.view()});
  });
  CHECK(x.bits() == o.sum.bits());
  CHECK(y.bits() == o.y.bits());
  CHECK(dy.bits() == o.d_x.bits());
  for (int64_t t = 0; t < 9; ++t) {
    for (int64_t c = 0; c < 70; ++c) {
      // Rounded once, not twice, on a GPU.
      CHECK(test::alike(d_residual.at(t, c), 2.0f * o.d_residual.at(t, c)));
    }
  }
  // Column sums alone.
  Matrix d_gamma = Matrix::random(1, 70, 7).of_f32();
  run_planned(1, kStep, [&](Context& ctx) {
    layernorm_backward(ctx, {.sum = o.sum.view(),
                             .gamma = p.gamma.view(),
                             .epsilon = kEpsilon,
                             .dy = p.dy.view(),
                             .d_gamma = d_gamma.view()});
  });
  CHECK(d_gamma.bits() == o.d_gamma.bits());
}

DEVICE_TEST_CASE("layernorm's dropout equals the dropout op") {
  Problem p(6, 300, 0.25f);
  Outputs o(p);
  run(1, p, o);
  Matrix dropped(6, 300);
  run_planned(1, kStep,
              [&](Context& ctx) { dropout(ctx, p.dropout(), p.x.view(), dropped.view()); });
  for (int64_t t = 0; t < 6; ++t) {
    for (int64_t c = 0; c < 300; ++c) {
      CHECK(test::alike(o.sum.at(t, c), p.residual.at(t, c) + dropped.at(t, c)));
    }
  }
}

DEVICE_TEST_CASE("layernorm gives the same bits everywhere, and for a row alone") {
  Problem p(67, 333, 0.1f);
  test::check_same_everywhere([&](int n_threads) {
    Outputs o(p);
    run(n_threads, p, o);
    std::vector<uint32_t> bits;
    for (const Matrix* m : {&o.sum, &o.y, &o.d_residual, &o.d_x, &o.d_gamma, &o.d_beta}) {
      test::append_bits(bits, *m);
    }
    return bits;
  });
  Outputs o(p);
  run(2, p, o);
  Matrix sum(1, 333);
  Matrix y(1, 333);
  Dropout spec = p.dropout();
  spec.row_samples = spec.row_samples.subspan(41, 1);
  spec.row_indices = spec.row_indices.subspan(41, 1);
  run_planned(1, kStep, [&](Context& ctx) {
    layernorm_forward(ctx, {.x = p.x.view().row_range(41, 1),
                            .residual = p.residual.view().row_range(41, 1),
                            .dropout = spec,
                            .gamma = p.gamma.view(),
                            .beta = p.beta.view(),
                            .epsilon = kEpsilon,
                            .sum = sum.view(),
                            .y = y.view()});
  });
  for (int64_t c = 0; c < 333; ++c) CHECK(y.at(0, c) == o.y.at(41, c));
}

DEVICE_TEST_CASE("gradients of gamma and beta over many rows, with d_x in dy's place") {
  for (const bool rms : {false, true}) {
    for (const auto& [rows, cols] : test::sizes<std::pair<int64_t, int64_t>>(
             {{1025, 37}, {2500, 768}, {5000, 100}, {1500, 1030}}, {{1025, 37}, {2100, 8}})) {
      CAPTURE(rms);
      CAPTURE(cols);
      Problem p(rows, cols, 0.2f);
      Outputs o(p);
      Matrix dy = p.dy;
      Doubles d_gamma = Problem::row(o.d_gamma, 0);
      Doubles d_beta = Problem::row(o.d_beta, 0);
      const Doubles gamma = Problem::row(p.gamma, 0);
      Doubles d_residual, d_x;
      for (int64_t t = 0; t < rows; ++t) {
        const Doubles row = Problem::row(p.x, t);
        const Doubles g = Problem::row(p.dy, t);
        const Doubles xhat = reference::normalize(row, kEpsilon, rms).xhat;
        const Doubles dx = reference::layernorm_gradient(row, kEpsilon, gamma, g, rms);
        for (size_t c = 0; c < g.size(); ++c) {
          d_gamma[c] += g[c] * xhat[c];
          d_beta[c] += g[c];
          d_residual.push_back(dx[c]);
          d_x.push_back(dx[c] * p.scale(t, static_cast<int64_t>(c)));
        }
      }
      run_planned(2, kStep, [&](Context& ctx) {
        layernorm_backward(ctx, {.sum = p.x.view(),
                                 .gamma = p.gamma.view(),
                                 .epsilon = kEpsilon,
                                 .rms = rms,
                                 .dropout = p.dropout(),
                                 .dy = dy.view(),
                                 .d_residual = o.d_residual.view(),
                                 .d_x = dy.view(),
                                 .d_gamma = o.d_gamma.view(),
                                 .d_beta = o.d_beta.view()});
      });
      const double allowed = test::tolerance(test::Result::kElements, 3e-6);
      CHECK(test::relative_error(o.d_residual, d_residual) < allowed);
      CHECK(test::relative_error(dy, d_x) < allowed);
      // fp32 sums of terms that are not rounded on their way, on every device.
      CHECK(test::relative_error(o.d_gamma, d_gamma) < 1e-5);
      CHECK(test::relative_error(o.d_beta, d_beta) < 1e-5);
    }
  }
}

DEVICE_TEST_CASE("gradients of gamma and beta give the same bits everywhere, each alone too") {
  Problem p(1100, 41, 0.0f);
  const auto sums = [&](int n_threads, bool of_gamma, bool of_beta) {
    Outputs o(p);
    run_planned(n_threads, kStep, [&](Context& ctx) {
      layernorm_backward(ctx, {.sum = p.x.view(),
                               .gamma = p.gamma.view(),
                               .epsilon = kEpsilon,
                               .dy = p.dy.view(),
                               .d_gamma = of_gamma ? o.d_gamma.view() : Tensor{},
                               .d_beta = of_beta ? o.d_beta.view() : Tensor{}});
    });
    std::vector<uint32_t> bits;
    if (of_gamma) test::append_bits(bits, o.d_gamma);
    if (of_beta) test::append_bits(bits, o.d_beta);
    return bits;
  };
  test::check_same_everywhere([&](int n_threads) { return sums(n_threads, true, true); });
  std::vector<uint32_t> apart = sums(2, true, false);
  const std::vector<uint32_t> of_beta = sums(2, false, true);
  apart.insert(apart.end(), of_beta.begin(), of_beta.end());
  CHECK(sums(2, true, true) == apart);
}

TEST_CASE("layernorm's contract") {
  Problem p(3, 8, 0.0f);
  Outputs o(p);
  const auto error = [&](const LayerNormForward& args) {
    return test::error_of(
        [&] { run_planned(1, [&](Context& ctx) { layernorm_forward(ctx, args); }); });
  };
  const LayerNormForward good{
      .x = p.x.view(), .gamma = p.gamma.view(), .sum = o.sum.view(), .y = o.y.view()};
  CHECK(error(good).empty());
  LayerNormForward bad = good;
  bad.y = o.sum.view();
  CHECK(error(bad) == "layernorm_forward: sum and y must not share memory");
  bad = good;
  bad.gamma = p.gamma.view().col_range(0, 7);
  CHECK(error(bad) == "layernorm_forward: expected gamma of 1 x 8, got 1 x 7");
  bad = good;
  bad.residual = o.sum.view();
  CHECK(error(bad) == "layernorm_forward: residual and sum must not share memory");
}

DEVICE_TEST_CASE("RMS norms match float64, forward and backward") {
  for (const int64_t cols : {5, 16, 100, 768}) {
    Problem p(9, cols, 0.2f);
    Outputs o(p);
    const Doubles no_beta(static_cast<size_t>(cols), 0.0);
    const Doubles old_gamma = Problem::row(o.d_gamma, 0);
    run_planned(2, kStep, [&](Context& ctx) {
      layernorm_forward(ctx, {.x = p.x.view(),
                              .residual = p.residual.view(),
                              .dropout = p.dropout(),
                              .gamma = p.gamma.view(),
                              .epsilon = kEpsilon,
                              .rms = true,
                              .sum = o.sum.view(),
                              .y = o.y.view()});
      layernorm_backward(ctx, {.sum = o.sum.view(),
                               .gamma = p.gamma.view(),
                               .epsilon = kEpsilon,
                               .rms = true,
                               .dy = p.dy.view(),
                               .d_residual = o.d_residual.view(),
                               .d_gamma = o.d_gamma.view()});
    });
    Doubles value, gradient, gamma_gradient = old_gamma;
    for (int64_t t = 0; t < p.rows; ++t) {
      const Doubles sum = Problem::row(o.sum, t);
      const Doubles gamma = Problem::row(p.gamma, 0);
      const Doubles dy = Problem::row(p.dy, t);
      const Doubles y = reference::layernorm(sum, kEpsilon, gamma, no_beta, true);
      const Doubles dx = reference::layernorm_gradient(sum, kEpsilon, gamma, dy, true);
      const Doubles xhat = reference::normalize(sum, kEpsilon, true).xhat;
      value.insert(value.end(), y.begin(), y.end());
      gradient.insert(gradient.end(), dx.begin(), dx.end());
      for (size_t c = 0; c < xhat.size(); ++c) gamma_gradient[c] += dy[c] * xhat[c];
    }
    const double allowed = test::tolerance(test::Result::kElements, 1e-6);
    CHECK(test::relative_error(o.y, value) < allowed);
    CHECK(test::relative_error(o.d_residual, gradient) < allowed);
    CHECK(test::relative_error(o.d_gamma, gamma_gradient) < allowed);
  }
}

}  // namespace
}  // namespace qe
