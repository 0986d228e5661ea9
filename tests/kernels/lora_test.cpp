// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/lora.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "kernels/cpu/isa.h"
#include "tests/reference/lora.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using reference::MatrixF64;
using test::Matrix;
using test::run_planned;

constexpr cpu::Isa kIsas[] = {cpu::Isa::kScalar, cpu::Isa::kAvx2, cpu::Isa::kAvx512,
                              cpu::Isa::kNeon};
constexpr StepState kStep{.seed = 1234567, .epoch = 3};

MatrixF64 wide(const Matrix& m) {
  MatrixF64 out(m.rows(), m.cols());
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < m.cols(); ++j) out.at(i, j) = double{m.at(i, j)};
  }
  return out;
}

// One layer with one adapter over all rows.
struct Problem {
  int64_t t, k, n, r;
  float scale;
  float p;
  Matrix x, a, b, dy;
  test::List<uint32_t> samples, rows;

  Problem(int64_t t_, int64_t k_, int64_t n_, int64_t r_, float scale_, float p_)
      : t(t_),
        k(k_),
        n(n_),
        r(r_),
        scale(scale_),
        p(p_),
        x(Matrix::random(t, k, 1, k + 5)),
        a(Matrix::random(r, k, 2)),
        b(Matrix::random(n, r, 3)),
        dy(Matrix::random(t, n, 4, n + 2)) {
    for (int64_t i = 0; i < t; ++i) {
      samples.push_back(static_cast<uint32_t>(100 + i / 5));
      rows.push_back(static_cast<uint32_t>(i % 5));
    }
  }
  Dropout dropout() {
    return {.p = p,
            .purpose = RandomPurpose::kLoraDropout,
            .layer = 7,
            .site = 2,
            .row_samples = samples,
            .row_indices = rows};
  }
  reference::LoraDropout reference_dropout() {
    return {.p = double{p},
            .seed = kStep.seed,
            .purpose = RandomPurpose::kLoraDropout,
            .epoch = kStep.epoch,
            .layer = 7,
            .site = 2,
            .samples = samples.host(),
            .rows = rows.host()};
  }
  LoraSegment segment() { return {0, t, a.view(), b.view(), scale}; }
};

// |got - want| over a bound of rounding errors: every product chain here is shorter than `depth`
// and its partial sums stay below `magnitude`. Returns the largest ratio.
double worst_ratio(const Matrix& got, const MatrixF64& want, double depth, double magnitude) {
  double worst = 0.0;
  for (int64_t i = 0; i < got.rows(); ++i) {
    for (int64_t j = 0; j < got.cols(); ++j) {
      const double error = std::fabs(double{got.at(i, j)} - want.at(i, j));
      worst = std::isnan(error) ? 1e300 : std::max(worst, error);
    }
  }
  return worst / (depth * 0x1p-24 * magnitude);
}

// Whether `got` is `want`: on the CPU within the bound of worst_ratio, on a GPU by the table.
void check_close(const Matrix& got, const MatrixF64& want, double depth, double magnitude) {
  CHECK(got.guards_intact());
  if (test::on_gpu()) {
    CHECK(test::relative_error(got, want.data) < test::tolerance(test::Result::kGradients, 0.0));
  } else {
    CHECK(worst_ratio(got, want, depth, magnitude) < 1.0);
  }
}

// Sum over all elements of dy * lora(x): its derivatives are the gradients.
double loss(Problem& problem, const MatrixF64& x, const MatrixF64& a, const MatrixF64& b) {
  const MatrixF64 y = reference::lora(x, a, b, double{problem.scale}, problem.reference_dropout());
  double sum = 0.0;
  for (int64_t i = 0; i < y.rows; ++i) {
    for (int64_t j = 0; j < y.cols; ++j) sum += y.at(i, j) * double{problem.dy.at(i, j)};
  }
  return sum;
}

// d loss / d m by central differences; exact up to rounding, as the loss is linear in each of the
// three.
MatrixF64 differences(MatrixF64& m, const std::function<double()>& value) {
  MatrixF64 out(m.rows, m.cols);
  for (size_t i = 0; i < m.data.size(); ++i) {
    const double at = m.data[i];
    m.data[i] = at + 0.5;
    const double up = value();
    m.data[i] = at - 0.5;
    out.data[i] = up - value();
    m.data[i] = at;
  }
  return out;
}

}  // namespace

DEVICE_TEST_CASE("lora: forward against float64, with and without dropout") {
  for (const float p : {0.0f, 0.25f}) {
    for (const int64_t r : {1, 8, 20}) {
      Problem problem(37, 45, 51, r, 2.0f, p);
      for (const cpu::Isa isa : kIsas) {
        if (!cpu::isa_supported(isa)) continue;
        const cpu::ScopedIsa forced(isa);
        Matrix t(37, 24), y = Matrix::random(37, 51, 9, 60);
        const Matrix base = y;
        const LoraSegment segment = problem.segment();
        run_planned(2, kStep, [&](Context& ctx) {
          lora_forward(ctx, {.x = problem.x.view(),
                             .dropout = problem.dropout(),
                             .segments = {&segment, 1},
                             .t = t.view(),
                             .y = y.view()});
        });
        MatrixF64 want = reference::lora(wide(problem.x), wide(problem.a), wide(problem.b), 2.0,
                                         problem.reference_dropout());
        for (int64_t i = 0; i < 37; ++i) {
          for (int64_t j = 0; j < 51; ++j) want.at(i, j) += double{base.at(i, j)};
        }
        // t <= 2 * 45 / (1 - p), y <= 1 + r * t.
        const double t_limit = 90.0 / (1.0 - double{p});
        check_close(y, want, static_cast<double>(45 + r), 1.0 + static_cast<double>(r) * t_limit);
        CHECK(t.guards_intact());
      }
    }
  }
}

DEVICE_TEST_CASE("lora: backward against central differences, with and without dropout") {
  for (const float p : {0.0f, 0.3f}) {
    Problem problem(13, 18, 21, 4, 0.75f, p);
    const LoraSegment segment = problem.segment();
    Matrix t(13, 4), y(13, 21);
    for (int64_t i = 0; i < 13; ++i) {
      for (int64_t j = 0; j < 21; ++j) y.at(i, j) = 0.0f;
    }
    Matrix d_a = Matrix::random(4, 18, 5).of_f32(), d_b = Matrix::random(21, 4, 6).of_f32(),
           d_x = Matrix::random(13, 18, 7, 23);
    const MatrixF64 start_a = wide(d_a), start_b = wide(d_b), start_x = wide(d_x);
    run_planned(1, kStep, [&](Context& ctx) {
      lora_forward(ctx, {.x = problem.x.view(),
                         .dropout = problem.dropout(),
                         .segments = {&segment, 1},
                         .t = t.view(),
                         .y = y.view()});
      lora_backward(ctx, {.x = problem.x.view(),
                          .dropout = problem.dropout(),
                          .segment = segment,
                          .t = t.view(),
                          .dy = problem.dy.view(),
                          .d_a = d_a.view(),
                          .d_b = d_b.view(),
                          .d_x = d_x.view()});
    });
    MatrixF64 x = wide(problem.x), a = wide(problem.a), b = wide(problem.b);
    const auto value = [&] { return loss(problem, x, a, b); };
    const auto check = [&](const char* what, const Matrix& got, MatrixF64& variable,
                           const MatrixF64& start) {
      CAPTURE(what);
      MatrixF64 want = differences(variable, value);
      for (size_t i = 0; i < want.data.size(); ++i) want.data[i] += start.data[i];
      // Chains of at most 21 + 18 + 13 products, sums below 21 * 18 * 13.
      check_close(got, want, 52.0, 21.0 * 18.0);
    };
    check("d_a", d_a, a, start_a);
    check("d_b", d_b, b, start_b);
    check("d_x", d_x, x, start_x);
  }
}

// d_a and d_b of the whole problem in float64.
void reference_gradients(Problem& problem, MatrixF64& d_a, MatrixF64& d_b) {
  const MatrixF64 x = reference::drop(wide(problem.x), problem.reference_dropout());
  for (int64_t i = 0; i < problem.t; ++i) {
    for (int64_t r = 0; r < problem.r; ++r) {
      double t = 0.0, u = 0.0;
      for (int64_t k = 0; k < problem.k; ++k) t += x.at(i, k) * double{problem.a.at(r, k)};
      for (int64_t n = 0; n < problem.n; ++n) {
        u += double{problem.dy.at(i, n)} * double{problem.b.at(n, r)};
      }
      t *= double{problem.scale};
      u *= double{problem.scale};
      for (int64_t n = 0; n < problem.n; ++n) d_b.at(n, r) += double{problem.dy.at(i, n)} * t;
      for (int64_t k = 0; k < problem.k; ++k) d_a.at(r, k) += u * x.at(i, k);
    }
  }
}

DEVICE_TEST_CASE("lora: gradients that sum over many rows, for all ranks") {
  for (const int64_t r : {1, 4, 8, 16, 64, 72}) {
    for (const int64_t rows : {31, 128, 129, 1000}) {
      // 264 and 136: tiles of 128 with a rest; strides that are multiples of 16 bytes.
      Problem problem(rows, 264, 136, r, 0.5f, rows == 129 ? 0.25f : 0.0f);
      problem.x = Matrix::random(rows, 264, 1);
      problem.dy = Matrix::random(rows, 136, 4, 144);
      Matrix t(rows, r), y = Matrix::random(rows, 136, 9);
      Matrix d_a = Matrix::random(r, 264, 5).of_f32(), d_b = Matrix::random(136, r, 6).of_f32();
      MatrixF64 want_a = wide(d_a), want_b = wide(d_b);
      reference_gradients(problem, want_a, want_b);
      const LoraSegment segment = problem.segment();
      run_planned(2, kStep, [&](Context& ctx) {
        lora_forward(ctx, {.x = problem.x.view(),
                           .dropout = problem.dropout(),
                           .segments = {&segment, 1},
                           .t = t.view(),
                           .y = y.view()});
        lora_backward(ctx, {.x = problem.x.view(),
                            .dropout = problem.dropout(),
                            .segment = segment,
                            .t = t.view(),
                            .dy = problem.dy.view(),
                            .d_a = d_a.view(),
                            .d_b = d_b.view()});
      });
      CAPTURE(r);
      CAPTURE(rows);
      const double depth = static_cast<double>(rows + 400);
      check_close(d_a, want_a, depth, static_cast<double>(rows) * 136.0);
      check_close(d_b, want_b, depth, static_cast<double>(rows) * 264.0);
    }
  }
}

DEVICE_TEST_CASE("lora: absent gradients are not computed, and the others do not change") {
  Problem problem(9, 20, 17, 3, 1.5f, 0.2f);
  const auto run = [&](bool want_a, bool want_b, bool want_x) {
    Matrix d_a = Matrix::random(3, 20, 5).of_f32(), d_b = Matrix::random(17, 3, 6).of_f32(),
           d_x = Matrix::random(9, 20, 7), t = Matrix::random(9, 3, 8);
    run_planned(1, kStep, [&](Context& ctx) {
      lora_backward(ctx, {.x = problem.x.view(),
                          .dropout = problem.dropout(),
                          .segment = problem.segment(),
                          .t = t.view(),
                          .dy = problem.dy.view(),
                          .d_a = want_a ? d_a.view() : Tensor{},
                          .d_b = want_b ? d_b.view() : Tensor{},
                          .d_x = want_x ? d_x.view() : Tensor{}});
    });
    return std::array{d_a.bits(), d_b.bits(), d_x.bits()};
  };
  const auto none = run(false, false, false);
  const auto all = run(true, true, true);
  for (int which = 0; which < 3; ++which) {
    const auto one = run(which == 0, which == 1, which == 2);
    for (int i = 0; i < 3; ++i) CHECK(one[i] == (i == which ? all[i] : none[i]));
    CHECK(all[which] != none[which]);
  }
}

DEVICE_TEST_CASE("lora: segments serve their rows only, each with its own adapter and rank") {
  Problem problem(30, 40, 33, 8, 2.0f, 0.0f);
  Matrix a2 = Matrix::random(4, 40, 11), b2 = Matrix::random(33, 4, 12);
  const LoraSegment first{3, 11, problem.a.view(), problem.b.view(), 2.0f};
  const LoraSegment second{20, 30, a2.view(), b2.view(), -0.5f};
  const LoraSegment empty{11, 11, a2.view(), b2.view(), 1.0f};
  const auto run = [&](std::vector<LoraSegment> segments) {
    Matrix t(30, 8), y = Matrix::random(30, 33, 9);
    run_planned(2, [&](Context& ctx) {
      lora_forward(ctx,
                   {.x = problem.x.view(), .segments = segments, .t = t.view(), .y = y.view()});
    });
    return y;
  };
  const Matrix base = run({});
  const Matrix both = run({second, empty, first});
  const Matrix only_first = run({first});
  const Matrix only_second = run({second});
  for (int64_t i = 0; i < 30; ++i) {
    const Matrix& want = i >= 3 && i < 11 ? only_first : i >= 20 ? only_second : base;
    for (int64_t j = 0; j < 33; ++j) {
      CHECK(std::bit_cast<uint32_t>(both.at(i, j)) == std::bit_cast<uint32_t>(want.at(i, j)));
    }
  }
  CHECK(only_first.at(5, 5) != base.at(5, 5));
  CHECK(only_second.at(25, 5) != base.at(25, 5));

  LoraSegment bad = first;
  bad.row_end = 31;
  CHECK_THROWS_AS(run({bad}), Error);
  bad.row_end = 21;  // overlaps the second
  CHECK_THROWS_AS(run({bad, second}), Error);
  bad = first;
  bad.b = b2.view();  // another rank
  CHECK_THROWS_AS(run({bad}), Error);
}

DEVICE_TEST_CASE("lora: threads and instruction sets change no bit") {
  Problem problem(260, 96, 80, 16, 2.0f, 0.1f);
  const auto run = [&](int n_threads) {
    Matrix t(260, 16), y = Matrix::random(260, 80, 9), d_x = Matrix::random(260, 96, 7);
    Matrix d_a = Matrix::random(16, 96, 5).of_f32(), d_b = Matrix::random(80, 16, 6).of_f32();
    const LoraSegment segment = problem.segment();
    run_planned(n_threads, kStep, [&](Context& ctx) {
      lora_forward(ctx, {.x = problem.x.view(),
                         .dropout = problem.dropout(),
                         .segments = {&segment, 1},
                         .t = t.view(),
                         .y = y.view()});
      lora_backward(ctx, {.x = problem.x.view(),
                          .dropout = problem.dropout(),
                          .segment = segment,
                          .t = t.view(),
                          .dy = problem.dy.view(),
                          .d_a = d_a.view(),
                          .d_b = d_b.view(),
                          .d_x = d_x.view()});
    });
    return std::array{t.bits(), y.bits(), d_a.bits(), d_b.bits(), d_x.bits()};
  };
  const auto want = run(1);
  for (const int n_threads : {2, 4}) CHECK(run(n_threads) == want);
  for (const cpu::Isa isa : kIsas) {
    if (!cpu::isa_supported(isa)) continue;
    const cpu::ScopedIsa forced(isa);
    CAPTURE(cpu::running_isa_name());
    CHECK(run(2) == want);
  }
}

DEVICE_TEST_CASE("lora: an empty batch") {
  Problem problem(0, 16, 16, 4, 1.0f, 0.5f);
  const LoraSegment segment = problem.segment();
  Matrix t(0, 4), y(0, 16), d_a = Matrix::random(4, 16, 5).of_f32();
  const std::vector<uint32_t> before = d_a.bits();
  run_planned(2, kStep, [&](Context& ctx) {
    lora_forward(ctx, {.x = problem.x.view(),
                       .dropout = problem.dropout(),
                       .segments = {&segment, 1},
                       .t = t.view(),
                       .y = y.view()});
    lora_backward(ctx, {.x = problem.x.view(),
                        .dropout = problem.dropout(),
                        .segment = segment,
                        .t = t.view(),
                        .dy = problem.dy.view(),
                        .d_a = d_a.view()});
  });
  CHECK(d_a.bits() == before);
}

}  // namespace qe
