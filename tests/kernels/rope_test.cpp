// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/rope.h"

#include <cmath>

#include "tests/reference/rope.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

// Rows of two turned heads and a third one that stays.
struct Problem {
  int64_t rows, dim;
  Matrix x, table;
  test::List<uint32_t> positions;

  Problem(int64_t n_rows, int64_t head_dim)
      : rows(n_rows),
        dim(head_dim),
        x(Matrix::random(rows, 3 * dim, 1, 3 * dim + 8)),
        table(Matrix(50, dim).of_f32()) {
    for (int64_t t = 0; t < rows; ++t) positions.push_back(static_cast<uint32_t>(t * 7 % 50));
    for (int64_t p = 0; p < 50; ++p) {
      for (int64_t j = 0; j < dim / 2; ++j) {
        const double angle = static_cast<double>(p) / std::pow(50.0, 2.0 * static_cast<double>(j) /
                                                                         static_cast<double>(dim));
        table.at(p, j) = static_cast<float>(std::cos(angle));
        table.at(p, dim / 2 + j) = static_cast<float>(std::sin(angle));
      }
    }
  }
  // In place, once: not while planning first.
  void run(int n_threads, bool back) {
    ThreadPool threads(n_threads);
    Arena arena;
    Context ctx{.threads = &threads, .arena = &arena};
    test::attach_device(ctx);
    rope(ctx, {.positions = positions, .table = table.view(), .n_heads = 2, .head_dim = dim},
         x.view(), back);
    test::finish_device();
  }
  Doubles expected(bool back) const {
    Doubles all;
    for (int64_t t = 0; t < rows; ++t) {
      Doubles cosines, sines;
      for (int64_t j = 0; j < dim / 2; ++j) {
        const int64_t p = positions[static_cast<size_t>(t)];
        cosines.push_back(static_cast<double>(table.at(p, j)));
        sines.push_back(static_cast<double>(table.at(p, dim / 2 + j)) * (back ? -1.0 : 1.0));
      }
      for (int64_t h = 0; h < 3; ++h) {
        Doubles head;
        for (int64_t d = 0; d < dim; ++d) head.push_back(static_cast<double>(x.at(t, h * dim + d)));
        if (h < 2) head = reference::rope(head, cosines, sines);
        all.insert(all.end(), head.begin(), head.end());
      }
    }
    return all;
  }
};

DEVICE_TEST_CASE("rope matches float64 in both directions and leaves other columns") {
  for (const int64_t dim : {2, 6, 16, 24, 64, 80}) {
    for (const bool back : {false, true}) {
      CAPTURE(dim);
      Problem p(23, dim);
      const Doubles expected = p.expected(back);
      p.run(2, back);
      CHECK(p.x.guards_intact());
      CHECK(test::relative_error(p.x, expected) < test::tolerance(test::Result::kElements, 3e-7));
    }
  }
}

DEVICE_TEST_CASE("rope back undoes rope") {
  Problem p(23, 64);
  const Doubles before = test::doubles(p.x);
  p.run(1, false);
  p.run(1, true);
  CHECK(test::relative_error(p.x, before) < test::tolerance(test::Result::kElements, 3e-7));
}

DEVICE_TEST_CASE("rope gives the same bits everywhere") {
  test::check_same_everywhere([&](int n_threads) {
    Problem p(130, 24);
    p.run(n_threads, false);
    return p.x.bits();
  });
}

TEST_CASE("rope's contract") {
  Problem p(3, 16);
  const auto error = [&](const Rope& spec) {
    return test::error_of(
        [&] { run_planned(1, [&](Context& ctx) { rope(ctx, spec, p.x.view(), false); }); });
  };
  const Rope good{.positions = p.positions, .table = p.table.view(), .n_heads = 2, .head_dim = 16};
  Rope spec = good;
  spec.head_dim = 15;
  CHECK(error(spec) == "rope: expected heads above 0 and an even head_dim, got 2 and 15");
  spec = good;
  spec.n_heads = 4;
  CHECK(error(spec) == "rope: 4 heads of 16 columns do not fit into 48");
  spec = good;
  spec.positions = spec.positions.subspan(1);
  CHECK(error(spec) == "rope: expected 3 positions, got 2");
  spec = good;
  spec.table = p.table.view().row_range(0, 8);
  CHECK(error(spec) == "rope: positions[2] is 14, expected 0 .. 7");
  spec.table = p.table.view().col_range(0, 8);
  CHECK(error(spec) == "rope: expected table of 50 x 16, got 50 x 8");
}

}  // namespace
}  // namespace qe
