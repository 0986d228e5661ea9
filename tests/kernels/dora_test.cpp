// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/dora.h"

#include <doctest/doctest.h>

#include <functional>

#include "tests/reference/dora.h"
#include "tests/support/lora_problem.h"

namespace qe {
namespace {

using reference::MatrixF64;
using test::Doubles;
using test::Matrix;
using test::run_planned;

using test::wide;
using Part = test::LoraPart;

constexpr StepState kStep = test::kLoraStep;
double tolerance() { return test::tolerance(test::Result::kGradients, 3e-6); }

struct ScaledLinear : test::AdaptedLinear {
  Matrix m, squares, norms, d_m;

  ScaledLinear(const Part& part, int64_t k, uint64_t seed)
      : AdaptedLinear(part, k, seed),
        m(Matrix::random(1, part.n, seed + 6).of_f32()),
        squares(Matrix(1, part.n).of_f32()),
        norms(Matrix(1, part.n).of_f32()),
        d_m(Matrix::random(1, part.n, seed + 7).of_f32()) {
    if (part.r == 0) return;
    // Of the norms' size, as in training: y would be a difference of large numbers otherwise.
    const Doubles of_sum = reference::dora_norms(reference());
    for (int64_t i = 0; i < part.n; ++i) {
      const double factor = 1.0 + 0.25 * double{m.at(0, i)};
      m.at(0, i) = static_cast<float>(of_sum[static_cast<size_t>(i)] * factor);
    }
  }
  reference::DoraF64 dora_reference() const { return {reference(), test::doubles(m)}; }
};

struct Problem : test::LoraProblem<ScaledLinear> {
  Matrix x, t_matrix, z, y, dy, d_x;

  Problem(int64_t t_, int64_t k_, const std::vector<Part>& parts_, float p_)
      : LoraProblem(t_, k_, parts_, p_),
        x(Matrix::random(t, k, 1)),
        t_matrix(t, ranks),
        z(t, n),
        y(t, n),
        dy(Matrix::random(t, n, 4)),
        d_x(Matrix::random(t, k, 7)) {}

  std::vector<DoraScale> scales() {
    std::vector<DoraScale> out;
    for (Linear& linear : linears) {
      out.emplace_back();
      if (linear.spec.r == 0) continue;
      out.back() = {linear.m.view(), linear.norms.view(), linear.d_m.view()};
    }
    return out;
  }
  void make_norms(Context& ctx) {
    const std::vector<LoraLinear> all = parts();
    for (size_t i = 0; i < all.size(); ++i) {
      if (linears[i].spec.r == 0) continue;
      dora_squares(ctx, all[i], linears[i].squares.view());
      dora_norms(ctx, all[i], linears[i].squares.view(), linears[i].norms.view());
    }
  }
  void forward(Context& ctx) {
    make_norms(ctx);
    const std::vector<LoraLinear> all = parts();
    const std::vector<DoraScale> factors = scales();
    dora_forward(ctx, {.x = x.view(),
                       .dropout = dropout(),
                       .parts = all,
                       .scales = factors,
                       .t = t_matrix.view(),
                       .z = z.view(),
                       .y = y.view()});
  }
  void backward(Context& ctx, bool wants_x = true) {
    const std::vector<LoraLinear> all = parts();
    const std::vector<DoraScale> factors = scales();
    DoraBackward args{.x = x.view(),
                      .dropout = dropout(),
                      .parts = all,
                      .scales = factors,
                      .t = t_matrix.view(),
                      .z = z.view(),
                      .dy = dy.view()};
    if (wants_x) args.d_x = d_x.view();
    dora_backward(ctx, args);
  }
};

const std::vector<std::vector<Part>> kGroups = {
    {{51, 1}},
    {{51, 20, true, true, 0.75f}},
    {{32, 8, true}, {48, 16, true}, {16, 8, true}},
    {{33, 4}, {20, 0}, {17, 5, false, true, 0.5f}},
};

}  // namespace

DEVICE_TEST_CASE("dora: norms of W + scale B A against float64, without making it") {
  for (const std::vector<Part>& group : kGroups) {
    Problem problem(1, 64, group, 0.0f);
    run_planned(2, kStep, [&](Context& ctx) { problem.make_norms(ctx); });
    for (const Problem::Linear& linear : problem.linears) {
      if (linear.spec.r == 0) continue;
      CHECK(test::relative_error(linear.norms, reference::dora_norms(linear.reference())) <
            tolerance());
    }
  }
}

DEVICE_TEST_CASE("dora: the squares of weights of every type, and a row of zeros") {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (test::on_gpu() && dtype != test::compute_type()) continue;
    Matrix w = Matrix::random(9, 43, 3);
    for (int64_t j = 0; j < 43; ++j) w.at(4, j) = 0.0f;
    test::StoredMatrix stored(w, dtype);
    Matrix squares = Matrix(1, 9).of_f32();
    Matrix norms = Matrix(1, 9).of_f32();
    Matrix a = Matrix::random(2, 43, 4), b = Matrix::random(9, 2, 5);
    b.at(4, 0) = b.at(4, 1) = 0.0f;
    run_planned(1, kStep, [&](Context& ctx) {
      const LoraSegment segment{0, 1, a.view(), b.view(), 1.0f};
      const LoraLinear part{.dense = stored.view(), .segments = {&segment, 1}};
      dora_squares(ctx, part, squares.view());
      dora_norms(ctx, part, squares.view(), norms.view());
    });
    Doubles expected;
    for (int64_t i = 0; i < 9; ++i) {
      double sum = 0.0;
      for (int64_t j = 0; j < 43; ++j) sum += double{w.at(i, j)} * double{w.at(i, j)};
      expected.push_back(sum);
    }
    CHECK(test::relative_error(squares, expected) < 1e-6);
    CHECK(norms.at(0, 4) > 0.0f);  // divides
    CHECK(norms.at(0, 4) < 1e-18f);
  }
}

DEVICE_TEST_CASE("dora: forward and backward against float64") {
  for (const float p : {0.0f, 0.25f}) {
    for (const std::vector<Part>& group : kGroups) {
      CAPTURE(p);
      Problem problem(37, 64, group, p);
      std::vector<MatrixF64> y, d_a, d_b;
      std::vector<Doubles> d_m;
      MatrixF64 d_x = wide(problem.d_x);
      for (size_t i = 0; i < group.size(); ++i) {
        const Problem::Linear& linear = problem.linears[i];
        reference::DoraF64 part = linear.dora_reference();
        const Doubles norms = reference::dora_norms(part.linear);
        if (linear.spec.r == 0) part.magnitude = norms;
        y.push_back(
            reference::dora_linear(wide(problem.x), part, problem.reference_dropout(), norms));
        d_a.push_back(wide(linear.d_a));
        d_b.push_back(wide(linear.d_b));
        d_m.push_back(test::doubles(linear.d_m));
        reference::add_dora_gradients(wide(problem.x), part, problem.reference_dropout(), norms,
                                      problem.columns_of(problem.dy, i), d_m[i], d_a[i], d_b[i],
                                      d_x);
      }
      run_planned(2, kStep, [&](Context& ctx) {
        problem.forward(ctx);
        problem.backward(ctx);
      });
      for (size_t i = 0; i < group.size(); ++i) {
        CAPTURE(i);
        const Problem::Linear& linear = problem.linears[i];
        CHECK(test::relative_error(problem.columns_of(problem.y, i).data, y[i].data) < tolerance());
        if (linear.spec.r == 0) continue;
        CHECK(test::relative_error(linear.d_m, d_m[i]) < tolerance());
        CHECK(test::relative_error(linear.d_a, d_a[i].data) < tolerance());
        CHECK(test::relative_error(linear.d_b, d_b[i].data) < tolerance());
      }
      CHECK(test::relative_error(problem.d_x, d_x.data) < tolerance());
      CHECK(problem.y.guards_intact());
      CHECK(problem.z.guards_intact());
    }
  }
}

TEST_CASE("dora: the reference's gradients are central differences with constant norms") {
  Problem problem(7, 12, {{9, 3}}, 0.3f);
  reference::DoraF64 part = problem.linears[0].dora_reference();
  const Doubles norms = reference::dora_norms(part.linear);
  MatrixF64 x = wide(problem.x);
  const MatrixF64 dy = wide(problem.dy);
  Doubles d_m(9);
  MatrixF64 d_a(3, 12), d_b(9, 3), d_x(7, 12);
  reference::add_dora_gradients(x, part, problem.reference_dropout(), norms, dy, d_m, d_a, d_b,
                                d_x);
  const auto check = [&](Doubles& values, const Doubles& gradient) {
    Doubles found;
    for (double& value : values) {
      const double at = value;
      double sum[2] = {};
      for (const int side : {0, 1}) {
        value = at + (side == 0 ? 0.5 : -0.5);  // linear in each: exact
        const MatrixF64 y = reference::dora_linear(x, part, problem.reference_dropout(), norms);
        for (size_t i = 0; i < y.data.size(); ++i) sum[side] += y.data[i] * dy.data[i];
      }
      value = at;
      found.push_back(sum[0] - sum[1]);
    }
    CHECK(test::relative_error(found, gradient) < 1e-12);
  };
  check(part.magnitude, d_m);
  check(part.linear.a.data, d_a.data);
  check(part.linear.b.data, d_b.data);
  check(x.data, d_x.data);
}

DEVICE_TEST_CASE("dora gives the same bits everywhere") {
  for (const float p : {0.0f, 0.25f}) {
    test::check_same_everywhere([&](int n_threads) {
      Problem problem(66, 70, kGroups[3], p);
      run_planned(n_threads, kStep, [&](Context& ctx) {
        problem.forward(ctx);
        problem.backward(ctx);
      });
      std::vector<uint32_t> bits = problem.y.bits();
      test::append_bits(bits, problem.d_x);
      for (const size_t i : {0, 2}) {
        const Problem::Linear& linear = problem.linears[i];
        for (const Matrix* m : {&linear.norms, &linear.d_m, &linear.d_a, &linear.d_b}) {
          test::append_bits(bits, *m);
        }
      }
      return bits;
    });
  }
}

TEST_CASE("dora's contract") {
  Problem problem(4, 12, {{9, 3}, {5, 0}}, 0.0f);
  const auto error = [&](const std::function<void(DoraForward&, std::vector<LoraLinear>&,
                                                  std::vector<DoraScale>&)>& change) {
    return test::error_of([&] {
      run_planned(1, kStep, [&](Context& ctx) {
        std::vector<LoraLinear> parts = problem.parts();
        std::vector<DoraScale> scales = problem.scales();
        DoraForward args{.x = problem.x.view(),
                         .t = problem.t_matrix.view(),
                         .z = problem.z.view(),
                         .y = problem.y.view()};
        args.parts = parts;
        args.scales = scales;
        change(args, parts, scales);
        dora_forward(ctx, args);
      });
    });
  };
  CHECK(error([](auto& args, auto&, auto&) { args.scales = args.scales.first(1); }) ==
        "dora_forward: expected 1 to 3 parts and a scale for each, got 2 and 1");
  CHECK(error([](auto&, auto&, auto& scales) { scales[0] = {}; }) ==
        "dora_forward: expected a magnitude for each part with an adapter, and for no other");
  CHECK(error([](auto&, auto&, auto& scales) {
          scales[0].magnitude = scales[0].magnitude.col_range(0, 8);
        }) == "dora_forward: expected magnitude of 1 x 9, got 1 x 8");
  CHECK(error([](auto& args, auto&, auto&) { args.z = args.z.col_range(0, 9); }) ==
        "dora_forward: expected z of 4 x 14, got 4 x 9");
  problem.p = 0.5f;
  CHECK(error([&](auto& args, auto&, auto&) {
          args.dropout = problem.dropout();
          args.y = args.z;
        }).find("dora_forward: z and y") == 0);
}

}  // namespace qe
