// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/matmul4.h"

#include <doctest/doctest.h>

#include "kernels/cpu/isa.h"
#include "kernels/ops/gemm.h"
#include "tests/support/op_variants.h"
#include "tests/support/quantized.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

constexpr cpu::Isa kIsas[] = {cpu::Isa::kScalar, cpu::Isa::kAvx2, cpu::Isa::kAvx512,
                              cpu::Isa::kNeon};

struct Case {
  int64_t n, k, block_size;
  Quant4Type type = Quant4Type::kNf4;
  DType dtype = DType::kF32;
  bool nested = false;
};

// A quantized random matrix, and its decoded values as a plain weight of fp32.
struct Weight {
  test::Quantized quantized;
  test::List<float> plain;

  explicit Weight(const Case& c) : quantized(c.type, c.n, c.k, c.block_size, c.nested) {
    quantized.q.dtype = c.dtype;
    test::Random random(static_cast<uint64_t>(c.n * 31 + c.k));
    std::vector<float> values(static_cast<size_t>(c.n * c.k));
    for (float& x : values) x = random.symmetric();
    test::quantize(quantized, values);
    plain = test::dequantize(quantized.view());
  }
  Quant4Matrix& q() { return quantized.view(); }
  Tensor view() { return test::matrix_of(plain, quantized.q.n, quantized.q.k); }
};

}  // namespace

TEST_CASE("matmul4: the bits of gemm on the dequantized weight, forward and backward") {
  const Case cases[] = {
      {64, 64, 64},
      {96, 320, 64, Quant4Type::kNf4, DType::kF32, true},
      {48, 256, 32, Quant4Type::kFp4, DType::kF16, true},
      {70, 96, 64, Quant4Type::kNf4, DType::kBF16, true},  // rows share blocks
      {33, 80, 128},                                       // multiples of 16, not of 32
      {17, 43, 64, Quant4Type::kFp4, DType::kF16},         // odd
      {5, 31, 4096, Quant4Type::kNf4, DType::kBF16, true},
      {600, 528, 64, Quant4Type::kNf4, DType::kF32, true},  // several blocks of each kind
  };
  for (const Case& c : cases) {
    Weight w(c);
    CAPTURE(c.n);
    CAPTURE(c.k);
    for (const int64_t rows : {1, 3, 7, 16, 20, 70, 0}) {
      CAPTURE(rows);
      Matrix x = Matrix::random(rows, c.k, 1, c.k + 3), bias = Matrix::random(1, c.n, 2);
      Matrix dy = Matrix::random(rows, c.n, 3, c.n + 9);
      for (const cpu::Isa isa : kIsas) {
        if (!cpu::isa_supported(isa)) continue;
        const cpu::ScopedIsa forced(isa);
        CAPTURE(cpu::running_isa_name());
        Matrix y(rows, c.n, c.n + 1), want_y(rows, c.n);
        run_planned(2, [&](Context& ctx) {
          matmul4_forward(ctx, x.view(), w.q(), bias.view(), y.view());
          gemm(ctx, {.a = x.view(), .b = w.view(), .bias = bias.view(), .c = want_y.view()});
        });
        CHECK(test::count_different(y, want_y) == 0);
        CHECK(y.guards_intact());
        for (const GradientMode mode : {GradientMode::kOverwrite, GradientMode::kAccumulate}) {
          const bool add = mode == GradientMode::kAccumulate;
          Matrix dx = add ? Matrix::random(rows, c.k, 4) : Matrix(rows, c.k);
          Matrix want_dx = add ? Matrix::random(rows, c.k, 4) : Matrix(rows, c.k);
          run_planned(3, [&](Context& ctx) {
            matmul4_backward(ctx, dy.view(), w.q(), dx.view(), mode);
            gemm(ctx, {.a = dy.view(),
                       .b = w.view(),
                       .b_transposed = false,
                       .c = want_dx.view(),
                       .mode = mode});
          });
          CHECK(test::count_different(dx, want_dx) == 0);
          CHECK(dx.guards_intact());
        }
      }
    }
  }
}

TEST_CASE("matmul4: a batch's rows have the bits that they have alone, for any threads") {
  const Case c{320, 192, 64, Quant4Type::kNf4, DType::kF32, true};
  Weight w(c);
  Matrix x = Matrix::random(50, c.k, 1), all(50, c.n);
  run_planned(4,
              [&](Context& ctx) { matmul4_forward(ctx, x.view(), w.q(), Tensor{}, all.view()); });
  for (int64_t row = 0; row < 50; ++row) {
    Matrix one(1, c.n);
    run_planned(1, [&](Context& ctx) {
      matmul4_forward(ctx, x.view().row_range(row, 1), w.q(), Tensor{}, one.view());
    });
    int64_t different = 0;
    for (int64_t j = 0; j < c.n; ++j) {
      different += std::bit_cast<uint32_t>(one.at(0, j)) != std::bit_cast<uint32_t>(all.at(row, j));
    }
    CHECK(different == 0);
  }
}

// Element (i, j) of x w^T + bias or of start + dy w, in float64, w rounded to the compute type as
// the products see it.
test::Doubles expected_forward(const Matrix& x, const Weight& w, const Matrix& bias) {
  const int64_t n = bias.cols(), k = x.cols();
  test::Doubles out;
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = double{bias.at(0, j)};
      for (int64_t at = 0; at < k; ++at) {
        sum +=
            double{x.at(i, at)} * double{test::rounded(w.plain[static_cast<size_t>(j * k + at)])};
      }
      out.push_back(sum);
    }
  }
  return out;
}
test::Doubles expected_backward(const Matrix& dy, const Weight& w, const Matrix& start) {
  const int64_t n = dy.cols(), k = start.cols();
  test::Doubles out = test::doubles(start);
  for (int64_t i = 0; i < dy.rows(); ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t at = 0; at < k; ++at) {
        out[static_cast<size_t>(i * k + at)] +=
            double{dy.at(i, j)} * double{test::rounded(w.plain[static_cast<size_t>(j * k + at)])};
      }
    }
  }
  return out;
}

DEVICE_TEST_CASE("matmul4: float64, for few tokens and many") {
  const DType own = test::compute_type();
  const Case cases[] = {
      {64, 64, 64, Quant4Type::kNf4, own},
      {96, 320, 64, Quant4Type::kNf4, DType::kF32, true},
      {130, 256, 32, Quant4Type::kFp4, own},
      {257, 96, 128, Quant4Type::kNf4, own, true},  // rows share blocks
      {40, 480, 64, Quant4Type::kNf4, own, true},
      {33, 80, 128, Quant4Type::kNf4, own},  // no multiple of 32
      {17, 43, 64, Quant4Type::kFp4, DType::kF16},
      {200, 1152, 64, Quant4Type::kNf4, DType::kBF16, true},
      {3, 2624, 4096, Quant4Type::kNf4, own},
      {5, 32, 32, Quant4Type::kNf4, own},
  };
  for (const Case& c : cases) {
    const Weight w(c);
    CAPTURE(c.n);
    CAPTURE(c.k);
    for (const int64_t rows :
         test::sizes<int64_t>({1, 3, 8, 16, 17, 32, 33, 63, 64, 65, 130}, {3, 17, 33, 130})) {
      CAPTURE(rows);
      // Rows whose starts are multiples of 8 bytes, and others.
      Matrix x = Matrix::random(rows, c.k, 1, c.k + (rows % 2 == 0 ? 8 : 3));
      Matrix bias = Matrix::random(1, c.n, 2), y(rows, c.n, c.n + 1);
      Matrix dy = Matrix::random(rows, c.n, 3, c.n + 9), dx = Matrix::random(rows, c.k, 4);
      const test::Doubles want_y = expected_forward(x, w, bias);
      const test::Doubles want_dx = expected_backward(dy, w, dx);
      Weight& weight = const_cast<Weight&>(w);
      run_planned(2, [&](Context& ctx) {
        matmul4_forward(ctx, x.view(), weight.q(), bias.view(), y.view());
        matmul4_backward(ctx, dy.view(), weight.q(), dx.view(), GradientMode::kAccumulate);
      });
      CHECK(test::relative_error(y, want_y) < test::tolerance(test::Result::kElements, 3e-6));
      CHECK(test::relative_error(dx, want_dx) < test::tolerance(test::Result::kElements, 3e-6));
    }
  }
}

DEVICE_TEST_CASE("matmul4: the same bits every time") {
  Weight w({300, 1024, 64, Quant4Type::kNf4, DType::kBF16, true});
  for (const int64_t rows : {1, 40, 200}) {
    Matrix x = Matrix::random(rows, 1024, 1);
    test::check_same_everywhere([&](int n_threads) {
      Matrix y(rows, 300);
      run_planned(n_threads,
                  [&](Context& ctx) { matmul4_forward(ctx, x.view(), w.q(), Tensor{}, y.view()); });
      std::vector<uint32_t> bits;
      test::append_bits(bits, y);
      return bits;
    });
  }
}

DEVICE_TEST_CASE("matmul4: an expanded weight beside the codes changes no bit") {
  Weight w({300, 1024, 64, Quant4Type::kNf4, DType::kBF16, true});
  Matrix decoded(300, 1024);
  run_planned(1, [&](Context& ctx) { dequantize4(ctx, w.q(), decoded.view()); });
  for (const int64_t rows : {1, 40, 200}) {
    CAPTURE(rows);
    Matrix x = Matrix::random(rows, 1024, 1), dy = Matrix::random(rows, 300, 2);
    Matrix y(rows, 300), want_y(rows, 300), dx(rows, 1024), want_dx(rows, 1024);
    run_planned(2, [&](Context& ctx) {
      Quant4Matrix q = w.q();
      matmul4_forward(ctx, x.view(), q, Tensor{}, want_y.view());
      matmul4_backward(ctx, dy.view(), q, want_dx.view(), GradientMode::kOverwrite);
      const size_t scratch = matmul4_workspace_bytes(ctx, rows, q, false);
      q.expanded = decoded.view();
      matmul4_forward(ctx, x.view(), q, Tensor{}, y.view());
      matmul4_backward(ctx, dy.view(), q, dx.view(), GradientMode::kOverwrite);
      if (test::on_gpu()) CHECK(matmul4_workspace_bytes(ctx, rows, q, false) < scratch);
    });
    CHECK(test::count_different(y, want_y) == 0);
    CHECK(test::count_different(dx, want_dx) == 0);
  }
}

TEST_CASE("matmul4: contract violations are refused") {
  Weight w({32, 64, 64});
  Matrix x(2, 64), y(2, 32), wrong(2, 33);
  const auto forward = [&](const Quant4Matrix& q, Matrix& out) {
    run_planned(1, [&](Context& ctx) { matmul4_forward(ctx, x.view(), q, Tensor{}, out.view()); });
  };
  CHECK_NOTHROW(forward(w.q(), y));
  CHECK_THROWS_AS(forward(w.q(), wrong), Error);
  Quant4Matrix bad = w.q();
  bad.codes = nullptr;
  CHECK_THROWS_AS(forward(bad, y), Error);
  bad = w.q();
  bad.absmax = nullptr;
  CHECK_THROWS_AS(forward(bad, y), Error);
  bad = w.q();
  bad.dtype = DType::kF64;
  CHECK_THROWS_AS(forward(bad, y), Error);
  bad = w.q();
  bad.expanded = wrong.view();
  CHECK_THROWS_AS(forward(bad, y), Error);
}

}  // namespace qe
