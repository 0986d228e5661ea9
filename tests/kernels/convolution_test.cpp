// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/convolution.h"

#include "kernels/ops/gemm.h"
#include "tests/reference/convolution.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

// Sequences of 1, 9, 2 and 30 tokens.
constexpr int64_t kLengths[] = {1, 9, 2, 30};
constexpr int64_t kRows = 42;

test::List<uint32_t> row_indices() {
  test::List<uint32_t> indices;
  for (const int64_t n : kLengths) {
    for (int64_t t = 0; t < n; ++t) indices.push_back(static_cast<uint32_t>(t));
  }
  return indices;
}

Doubles rows_of(const Matrix& m, int64_t begin, int64_t n) {
  Doubles out;
  for (int64_t t = begin; t < begin + n; ++t) {
    for (int64_t c = 0; c < m.cols(); ++c) out.push_back(static_cast<double>(m.at(t, c)));
  }
  return out;
}

DEVICE_TEST_CASE("windows times a matrix are the convolution of each sequence") {
  for (const int64_t width : {1, 3, 5, 23}) {
    for (const int64_t cols : {1, 6, 16, 24}) {
      CAPTURE(width);
      CAPTURE(cols);
      const int64_t outputs = 5;
      Matrix x = Matrix::random(kRows, cols, 1, cols + 8);
      // By output column: the places of the window, and in each the columns.
      Matrix weight = Matrix::random(outputs, width * cols, 2);
      Matrix windows(kRows, width * cols, width * cols + 8);
      Matrix y(kRows, outputs);
      test::List<uint32_t> indices = row_indices();
      run_planned(2, [&](Context& ctx) {
        gather_windows(ctx, indices, x.view(), windows.view());
        gemm(ctx, {.a = windows.view(), .b = weight.view(), .c = y.view()});
      });
      CHECK(windows.guards_intact());
      Doubles w(static_cast<size_t>(outputs * cols * width));
      for (int64_t o = 0; o < outputs; ++o) {
        for (int64_t c = 0; c < cols; ++c) {
          for (int64_t j = 0; j < width; ++j) {
            w[static_cast<size_t>((o * cols + c) * width + j)] =
                static_cast<double>(weight.at(o, j * cols + c));
          }
        }
      }
      Doubles expected;
      int64_t begin = 0;
      for (const int64_t n : kLengths) {
        const Doubles part = reference::convolution(rows_of(x, begin, n), cols, w, outputs, width);
        expected.insert(expected.end(), part.begin(), part.end());
        begin += n;
      }
      CHECK(test::relative_error(y, expected) < test::tolerance(test::Result::kElements, 1e-6));
    }
  }
}

DEVICE_TEST_CASE("scatter_windows sums what gather_windows took, over or on top") {
  for (const int64_t width : {1, 3, 5, 23}) {
    for (const int64_t cols : {1, 6, 16}) {
      for (const GradientMode mode : {GradientMode::kOverwrite, GradientMode::kAccumulate}) {
        CAPTURE(width);
        CAPTURE(cols);
        Matrix dy = Matrix::random(kRows, width * cols, 3, width * cols + 8);
        Matrix dx = Matrix::random(kRows, cols, 4, cols + 8);
        Doubles expected;
        int64_t begin = 0;
        for (const int64_t n : kLengths) {
          for (int64_t t = 0; t < n; ++t) {
            for (int64_t c = 0; c < cols; ++c) {
              const bool adds = mode == GradientMode::kAccumulate;
              double sum = adds ? static_cast<double>(dx.at(begin + t, c)) : 0.0;
              for (int64_t taker = 0; taker < n; ++taker) {
                const int64_t j = t - taker + width / 2;
                if (j < 0 || j >= width) continue;
                sum += static_cast<double>(dy.at(begin + taker, j * cols + c));
              }
              expected.push_back(sum);
            }
          }
          begin += n;
        }
        test::List<uint32_t> indices = row_indices();
        ThreadPool threads(2);
        Arena arena;
        Context ctx{.threads = &threads, .arena = &arena};
        test::attach_device(ctx);
        scatter_windows(ctx, indices, dy.view(), dx.view(), mode);
        test::finish_device();
        CHECK(dx.guards_intact());
        CHECK(test::relative_error(dx, expected) < test::tolerance(test::Result::kElements, 1e-6));
      }
    }
  }
}

DEVICE_TEST_CASE("windows give the same bits everywhere") {
  test::check_same_everywhere([&](int n_threads) {
    Matrix x = Matrix::random(kRows, 300, 5);
    Matrix windows(kRows, 900);
    Matrix dx(kRows, 300);
    test::List<uint32_t> indices = row_indices();
    run_planned(n_threads, [&](Context& ctx) {
      gather_windows(ctx, indices, x.view(), windows.view());
      scatter_windows(ctx, indices, windows.view(), dx.view(), GradientMode::kOverwrite);
    });
    std::vector<uint32_t> bits = windows.bits();
    test::append_bits(bits, dx);
    return bits;
  });
}

TEST_CASE("the contract of windows") {
  Matrix x = Matrix::random(kRows, 4, 1);
  Matrix windows(kRows, 12);
  const auto error = [&](std::span<const uint32_t> indices, const Tensor& rows, const Tensor& w) {
    return test::error_of(
        [&] { run_planned(1, [&](Context& ctx) { gather_windows(ctx, indices, rows, w); }); });
  };
  test::List<uint32_t> indices = row_indices();
  const std::span<const uint32_t> all = indices;
  CHECK(error(all, x.view(), windows.view()) == "");
  CHECK(error(all.subspan(1), x.view(), windows.view()) ==
        "gather_windows: expected 42 row_indices, got 41");
  CHECK(error(all, x.view(), windows.view().col_range(0, 8)) ==
        "gather_windows: expected windows of an odd multiple of 4 columns, got 8");
  CHECK(error(all, windows.view().col_range(0, 4), windows.view()) != "");
}

}  // namespace
}  // namespace qe
