// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/lora.h"

#include <doctest/doctest.h>

#include <array>
#include <functional>

#include "tests/reference/activation.h"
#include "tests/reference/lora.h"
#include "tests/support/lora_problem.h"

namespace qe {
namespace {

using reference::MatrixF64;
using test::Matrix;
using test::run_planned;
using test::wide;
using Part = test::LoraPart;

constexpr StepState kStep = test::kLoraStep;
constexpr LoraProducts kBothWays[] = {LoraProducts::kApart, LoraProducts::kJoined};
// Of sums of a few hundred products in fp32; products of products on a GPU are in the table.
double tolerance() { return test::tolerance(test::Result::kGradients, 3e-6); }

// Random columns with NaN behind them.
Matrix with_room(int64_t rows, int64_t cols, int64_t room, uint64_t seed, int64_t stride = 0) {
  Matrix m(rows, cols + room, stride);
  const Matrix values = Matrix::random(rows, cols, seed);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) m.at(i, j) = values.at(i, j);
  }
  return m;
}

// With t behind x and u behind dy.
struct Problem : test::LoraProblem<test::AdaptedLinear> {
  Matrix x, y, dy, d_x;
  // stride_step: rows begin at multiples of so many elements.
  Problem(int64_t t_, int64_t k_, const std::vector<Part>& parts_, float p_ = 0.0f,
          int64_t stride_step = 1)
      : LoraProblem(t_, k_, parts_, p_), x(0, 1), y(0, 1), dy(0, 1), d_x(Matrix::random(t, k, 7)) {
    const auto stride = [&](int64_t cols) {
      return (cols + stride_step) / stride_step * stride_step;
    };
    x = with_room(t, k, ranks, 1, stride(k + ranks));
    dy = with_room(t, n, ranks, 4, stride(n + ranks));
    y = Matrix(t, n, stride(n));
  }

  Tensor t_view() { return x.view().col_range(k, ranks); }
  Tensor x_view() { return x.view().col_range(0, k); }

  void forward(Context& ctx, LoraProducts products) {
    const std::vector<LoraLinear> all = parts();
    lora_forward(ctx, {.x = x_view(),
                       .dropout = dropout(),
                       .parts = all,
                       .t = t_view(),
                       .y = y.view(),
                       .products = products});
  }
  void backward(Context& ctx, LoraProducts products,
                const std::function<void(LoraBackward&, std::vector<LoraLinear>&)>& change = {}) {
    std::vector<LoraLinear> all = parts();
    LoraBackward args{.x = x_view(),
                      .dropout = dropout(),
                      .t = t_view(),
                      .dy = dy.view().col_range(0, n),
                      .u = dy.view().col_range(n, ranks),
                      .d_x = d_x.view(),
                      .products = products};
    if (change) change(args, all);
    args.parts = all;
    lora_backward(ctx, args);
  }
  void run(int n_threads, LoraProducts products) {
    run_planned(n_threads, kStep, [&](Context& ctx) {
      forward(ctx, products);
      backward(ctx, products);
    });
  }

  MatrixF64 reference_x() const { return test::wide_columns(x, 0, k); }
  MatrixF64 reference_dy(size_t part) const { return columns_of(dy, part); }
  void check_forward() {
    for (size_t i = 0; i < linears.size(); ++i) {
      const MatrixF64 want =
          reference::lora_linear(reference_x(), linears[i].reference(), reference_dropout());
      CHECK(test::relative_error(columns_of(y, i).data, want.data) < tolerance());
    }
    CHECK(y.guards_intact());
    CHECK(x.guards_intact());
  }
};

// d f / d m by central differences; exact up to rounding, as f is linear in m.
MatrixF64 differences(MatrixF64& m, const std::function<double()>& f) {
  MatrixF64 out(m.rows, m.cols);
  for (size_t i = 0; i < m.data.size(); ++i) {
    const double at = m.data[i];
    m.data[i] = at + 0.5;
    const double up = f();
    m.data[i] = at - 0.5;
    out.data[i] = up - f();
    m.data[i] = at;
  }
  return out;
}

// Gradients of all parts, added to what the problem's matrices hold.
struct Expected {
  std::vector<MatrixF64> d_a, d_b;
  MatrixF64 d_x;

  explicit Expected(Problem& problem) : d_x(wide(problem.d_x)) {
    for (size_t i = 0; i < problem.linears.size(); ++i) {
      const Problem::Linear& linear = problem.linears[i];
      d_a.push_back(wide(linear.d_a));
      d_b.push_back(wide(linear.d_b));
      reference::add_lora_gradients(problem.reference_x(), linear.reference(),
                                    problem.reference_dropout(), problem.reference_dy(i),
                                    d_a.back(), d_b.back(), d_x);
    }
  }
  void check(const Problem& problem) const {
    for (size_t i = 0; i < problem.linears.size(); ++i) {
      CAPTURE(i);
      if (problem.linears[i].spec.r == 0) continue;
      CHECK(test::relative_error(problem.linears[i].d_a, d_a[i].data) < tolerance());
      CHECK(test::relative_error(problem.linears[i].d_b, d_b[i].data) < tolerance());
    }
    CHECK(test::relative_error(problem.d_x, d_x.data) < tolerance());
    CHECK(problem.dy.guards_intact());
  }
};

const std::vector<std::vector<Part>> kGroups = {
    {{51, 1}},
    {{51, 20, true, false, 0.75f}},
    {{32, 8, true}, {48, 16, true}, {16, 8, true}},
    {{33, 4}, {20, 0}, {17, 5}},
    {{40, 8, false, false, 2.0f}, {24, 8, true, true, 0.5f}},
};

}  // namespace

DEVICE_TEST_CASE("lora: forward and backward against float64, apart and joined") {
  for (const float p : {0.0f, 0.25f}) {
    for (size_t group = 0; group < kGroups.size(); ++group) {
      for (const LoraProducts products : kBothWays) {
        for (const int64_t step : {1, 16}) {
          CAPTURE(p);
          CAPTURE(group);
          CAPTURE(step);
          CAPTURE(static_cast<int>(products));
          Problem problem(37, 64, kGroups[group], p, step);
          const Expected expected(problem);
          problem.run(2, products);
          problem.check_forward();
          expected.check(problem);
        }
      }
    }
  }
}

DEVICE_TEST_CASE("lora: backward against central differences") {
  Problem problem(13, 18, {{21, 4}, {8, 0}, {5, 3}}, 0.3f);
  Expected expected(problem);
  MatrixF64 x = problem.reference_x();
  std::vector<reference::LoraLinearF64> parts;
  for (const Problem::Linear& linear : problem.linears) parts.push_back(linear.reference());
  const auto loss = [&] {
    double sum = 0.0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const MatrixF64 y = reference::lora_linear(x, parts[i], problem.reference_dropout());
      const MatrixF64 dy = problem.reference_dy(i);
      for (size_t e = 0; e < y.data.size(); ++e) sum += y.data[e] * dy.data[e];
    }
    return sum;
  };
  const auto set = [&](MatrixF64& want, const Matrix& start, MatrixF64& variable) {
    want = differences(variable, loss);
    const test::Doubles from = test::doubles(start);
    for (size_t e = 0; e < from.size(); ++e) want.data[e] += from[e];
  };
  set(expected.d_x, problem.d_x, x);
  for (size_t i = 0; i < parts.size(); ++i) {
    set(expected.d_a[i], problem.linears[i].d_a, parts[i].a);
    set(expected.d_b[i], problem.linears[i].d_b, parts[i].b);
  }
  problem.run(1, LoraProducts::kChoose);
  expected.check(problem);
}

DEVICE_TEST_CASE("lora: gradients that sum over many rows, for all ranks") {
  for (const int64_t r : test::sizes<int64_t>({1, 4, 8, 16, 64, 72}, {4, 8, 72})) {
    for (const int64_t rows : test::sizes<int64_t>({31, 128, 129, 1000}, {31, 129, 260})) {
      CAPTURE(r);
      CAPTURE(rows);
      // 264 and 136: tiles of 128 with a rest; strides that are multiples of 16 bytes.
      Problem problem(rows, 264, {{136, r, true}, {64, r, true}, {8, 8, true}},
                      rows == 129 ? 0.25f : 0.0f, 8);
      const Expected expected(problem);
      problem.run(2, LoraProducts::kChoose);
      expected.check(problem);
    }
  }
}

DEVICE_TEST_CASE("lora: what the Linears read may be an activation's output") {
  for (const float p : {0.0f, 0.25f}) {
    Problem of_output(70, 64, {{48, 16}}, p, 8);
    Problem of_input(70, 64, {{48, 16}}, p, 8);
    Matrix before = Matrix::random(70, 64, 77);
    run_planned(1, [&](Context& ctx) {
      activation_forward(ctx, Activation::kGelu, before.view(), of_output.x_view());
    });
    of_output.run(1, LoraProducts::kChoose);
    run_planned(1, kStep, [&](Context& ctx) {
      of_input.backward(ctx, LoraProducts::kChoose,
                        [&](LoraBackward& args, std::vector<LoraLinear>&) {
                          args.x = before.view();
                          args.t = of_output.t_view();
                          args.activation = Activation::kGelu;
                        });
    });
    CHECK(of_input.linears[0].d_a.bits() == of_output.linears[0].d_a.bits());
    CHECK(of_input.linears[0].d_b.bits() == of_output.linears[0].d_b.bits());
    CHECK(of_input.d_x.bits() == of_output.d_x.bits());
  }
}

DEVICE_TEST_CASE("lora: absent gradients are not computed, and the others do not change") {
  const auto run = [&](bool want_a, bool want_b, bool want_x) {
    Problem problem(9, 20, {{17, 3}, {5, 2}}, 0.2f);
    run_planned(1, kStep, [&](Context& ctx) {
      problem.forward(ctx, LoraProducts::kChoose);
      problem.backward(ctx, LoraProducts::kChoose,
                       [&](LoraBackward& args, std::vector<LoraLinear>& parts) {
                         for (LoraLinear& part : parts) {
                           if (!want_a) part.d_a = {};
                           if (!want_b) part.d_b = {};
                         }
                         if (!want_x) args.d_x = {};
                       });
    });
    std::array<std::vector<uint32_t>, 3> bits;
    for (const Problem::Linear& linear : problem.linears) {
      test::append_bits(bits[0], linear.d_a);
      test::append_bits(bits[1], linear.d_b);
    }
    bits[2] = problem.d_x.bits();
    return bits;
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
  Problem problem(30, 40, {{33, 8}});
  Matrix a2 = Matrix::random(4, 40, 11), b2 = Matrix::random(33, 4, 12);
  const Problem::Linear& linear = problem.linears[0];
  const LoraLinear whole = problem.parts()[0];
  const LoraSegment first{3, 11, whole.segments[0].a, whole.segments[0].b, linear.spec.scale};
  const LoraSegment second{20, 30, a2.view(), b2.view(), -0.5f};
  const LoraSegment empty{11, 11, a2.view(), b2.view(), 1.0f};
  const auto run = [&](std::vector<LoraSegment> segments) {
    Matrix t(30, segments.empty() ? 1 : 8), y(30, 33);
    LoraLinear part = problem.parts()[0];
    part.segments = segments;
    run_planned(2, [&](Context& ctx) {
      lora_forward(ctx, {.x = problem.x_view(),
                         .parts = {&part, 1},
                         .t = t.view().col_range(0, part.rank()),
                         .y = y.view()});
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
  CHECK(test::error_of([&] { run({bad}); }) ==
        "lora_forward: segment of rows [3, 31) in a batch of 30");
  bad.row_end = 21;
  CHECK(test::error_of([&] { run({bad, second}); }) == "lora_forward: segments 0 and 1 overlap");
  bad = first;
  bad.b = b2.view();  // another rank
  CHECK_THROWS_AS(run({bad}), Error);
}

DEVICE_TEST_CASE("lora: threads and instruction sets change no bit") {
  for (const LoraProducts products : kBothWays) {
    test::check_same_everywhere([&](int n_threads) {
      Problem problem(260, 96, {{80, 16, true}, {80, 16, true}, {40, 8, true}}, 0.1f, 8);
      problem.run(n_threads, products);
      std::vector<uint32_t> bits;
      for (const Problem::Linear& linear : problem.linears) {
        test::append_bits(bits, linear.d_a);
        test::append_bits(bits, linear.d_b);
      }
      test::append_bits(bits, problem.y);
      test::append_bits(bits, problem.d_x);
      return bits;
    });
  }
}

TEST_CASE("lora: which Linears share a call changes no bit") {
  const std::vector<Part> parts = {{24, 8, true}, {40, 0, true}, {16, 5, true}};
  Problem together(50, 64, parts, 0.2f);
  Problem alone(50, 64, parts, 0.2f);
  together.run(2, LoraProducts::kChoose);
  int64_t column = 0, t_column = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::vector<LoraLinear> one = alone.parts(i, 1);
    const Tensor t = alone.t_view().col_range(t_column, parts[i].r);
    run_planned(2, kStep, [&](Context& ctx) {
      lora_forward(ctx, {.x = alone.x_view(),
                         .dropout = alone.dropout(),
                         .parts = one,
                         .t = t,
                         .y = alone.y.view().col_range(column, parts[i].n)});
      lora_backward(ctx, {.x = alone.x_view(),
                          .dropout = alone.dropout(),
                          .parts = one,
                          .t = t,
                          .dy = alone.dy.view().col_range(column, parts[i].n),
                          .d_x = alone.d_x.view()});
    });
    CHECK(alone.linears[i].d_a.bits() == together.linears[i].d_a.bits());
    CHECK(alone.linears[i].d_b.bits() == together.linears[i].d_b.bits());
    column += parts[i].n;
    t_column += parts[i].r;
  }
  CHECK(alone.y.bits() == together.y.bits());
  CHECK(alone.d_x.bits() == together.d_x.bits());
}

DEVICE_TEST_CASE("lora: expanded weights with room for the pairs change no bit") {
  constexpr int64_t kTokens = 40, kColumns = 64;
  const std::vector<Part> group = {{32, 8, true}, {48, 0, true}, {16, 8, true}};
  constexpr int64_t kRows = 32 + 48 + 16, kRanks = 16;
  for (const float p : {0.0f, 0.25f}) {
    for (const int64_t room : {kRanks, kRanks - 8}) {
      CAPTURE(p);
      CAPTURE(room);
      Problem want(kTokens, kColumns, group, p, 8), got(kTokens, kColumns, group, p, 8);
      want.run(1, LoraProducts::kJoined);
      Matrix expanded(kRows + room, kColumns + room);
      for (int64_t i = 0; i < expanded.rows(); ++i) {
        for (int64_t j = 0; j < expanded.cols(); ++j) expanded.at(i, j) = 0.0f;
      }
      int64_t row = 0;
      for (Problem::Linear& linear : got.linears) {
        const Tensor here = expanded.view().row_range(row, linear.spec.n).col_range(0, kColumns);
        run_planned(1, [&](Context& ctx) { dequantize4(ctx, linear.quantized->view(), here); });
        row += linear.spec.n;
        linear.quantized->q.expanded = here;
        linear.quantized->q.expanded_room = row == kRows ? room : 0;
      }
      got.run(1, LoraProducts::kJoined);
      CHECK(test::count_different(got.y, want.y) == 0);
      CHECK(test::count_different(got.d_x, want.d_x) == 0);
      // The last rows and columns hold A and B, if there was room.
      CHECK((expanded.at(kRows + room - 1, 0) != 0.0f) == (room == kRanks));
      expanded.at(0, 0) = 1000.0f;
      expanded.view();
      got.run(1, LoraProducts::kJoined);
      CHECK((test::count_different(got.y, want.y) > 0) == (room == kRanks));
    }
  }
}

DEVICE_TEST_CASE("lora: an empty batch") {
  Problem problem(0, 16, {{16, 4}, {8, 4}}, 0.5f);
  const std::vector<uint32_t> before = problem.linears[0].d_a.bits();
  for (const LoraProducts products : kBothWays) problem.run(2, products);
  CHECK(problem.linears[0].d_a.bits() == before);
}

DEVICE_TEST_CASE("lora: what its contract refuses") {
  Problem problem(6, 16, {{8, 4}, {8, 4}});
  const auto error =
      [&](const std::function<void(LoraForward&, std::vector<LoraLinear>&)>& change) {
        return test::error_of([&] {
          run_planned(1, [&](Context& ctx) {
            std::vector<LoraLinear> parts = problem.parts();
            LoraForward args{.x = problem.x_view(), .t = problem.t_view(), .y = problem.y.view()};
            change(args, parts);
            args.parts = parts;
            lora_forward(ctx, args);
          });
        });
      };
  CHECK(error([](LoraForward&, std::vector<LoraLinear>&) {}) == "");
  CHECK(error([](LoraForward&, std::vector<LoraLinear>& parts) { parts.resize(4, parts[0]); }) ==
        "lora_forward: expected 1 to 3 parts, got 4");
  Matrix elsewhere(6, 8);
  CHECK(error([&](LoraForward& args, std::vector<LoraLinear>&) {
          args.t = elsewhere.view();
          args.products = LoraProducts::kJoined;
        }) ==
        "lora_forward: joined products take t (u) behind x (dy), and one segment of all rows");
  Matrix narrow = Matrix::random(8, 15, 3);
  CHECK(error([&](LoraForward&, std::vector<LoraLinear>& parts) {
          parts[1].dense = narrow.view();
        }) == "lora_forward: a weight of 15 columns over x of 16");
}

}  // namespace qe
