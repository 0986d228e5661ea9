// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/matmul4.h"

#include <doctest/doctest.h>

#include "kernels/cpu/isa.h"
#include "kernels/ops/gemm.h"
#include "tests/support/op_context.h"

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

// A quantized random matrix, and its decoded values as a plain weight.
struct Weight {
  Quant4Matrix q;
  std::vector<uint8_t> codes, absmax_codes;
  std::vector<float> absmax, nested_absmax, map, plain;

  explicit Weight(const Case& c)
      : q{.type = c.type, .n = c.n, .k = c.k, .block_size = c.block_size, .dtype = c.dtype},
        codes(static_cast<size_t>(q.n_code_bytes())),
        absmax_codes(static_cast<size_t>(q.n_blocks())),
        absmax(static_cast<size_t>(q.n_blocks())),
        nested_absmax(static_cast<size_t>(q.n_nested_blocks())),
        plain(static_cast<size_t>(c.n * c.k)) {
    for (int code = 0; code < 256; ++code) map.push_back(dynamic_map_value(code));
    q.codes = codes.data();
    if (c.nested) {
      q.absmax_codes = absmax_codes.data();
      q.nested_absmax = nested_absmax.data();
      q.nested_map = map.data();
    } else {
      q.absmax = absmax.data();
    }
    test::Random random(static_cast<uint64_t>(c.n * 31 + c.k));
    for (float& x : plain) x = random.symmetric();
    run_planned(1, [&](Context& ctx) { quantize4(ctx, view(), q); });
    run_planned(1, [&](Context& ctx) { dequantize4(ctx, q, view()); });
  }
  Tensor view() { return make_tensor(plain.data(), q.n, q.k); }
};

int64_t count_different(const Matrix& a, const Matrix& b) {
  const std::vector<uint32_t> x = a.bits(), y = b.bits();
  int64_t different = 0;
  for (size_t i = 0; i < x.size(); ++i) different += x[i] != y[i];
  return different;
}

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
          matmul4_forward(ctx, x.view(), w.q, bias.view(), y.view());
          gemm(ctx, {.a = x.view(), .b = w.view(), .bias = bias.view(), .c = want_y.view()});
        });
        CHECK(count_different(y, want_y) == 0);
        CHECK(y.guards_intact());
        for (const GradientMode mode : {GradientMode::kOverwrite, GradientMode::kAccumulate}) {
          const bool add = mode == GradientMode::kAccumulate;
          Matrix dx = add ? Matrix::random(rows, c.k, 4) : Matrix(rows, c.k);
          Matrix want_dx = add ? Matrix::random(rows, c.k, 4) : Matrix(rows, c.k);
          run_planned(3, [&](Context& ctx) {
            matmul4_backward(ctx, dy.view(), w.q, dx.view(), mode);
            gemm(ctx, {.a = dy.view(),
                       .b = w.view(),
                       .b_transposed = false,
                       .c = want_dx.view(),
                       .mode = mode});
          });
          CHECK(count_different(dx, want_dx) == 0);
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
  run_planned(4, [&](Context& ctx) { matmul4_forward(ctx, x.view(), w.q, Tensor{}, all.view()); });
  for (int64_t row = 0; row < 50; ++row) {
    Matrix one(1, c.n);
    run_planned(1, [&](Context& ctx) {
      matmul4_forward(ctx, x.view().row_range(row, 1), w.q, Tensor{}, one.view());
    });
    int64_t different = 0;
    for (int64_t j = 0; j < c.n; ++j) {
      different += std::bit_cast<uint32_t>(one.at(0, j)) != std::bit_cast<uint32_t>(all.at(row, j));
    }
    CHECK(different == 0);
  }
}

TEST_CASE("matmul4: contract violations are refused") {
  Weight w({32, 64, 64});
  Matrix x(2, 64), y(2, 32), wrong(2, 33);
  const auto forward = [&](const Quant4Matrix& q, Matrix& out) {
    run_planned(1, [&](Context& ctx) { matmul4_forward(ctx, x.view(), q, Tensor{}, out.view()); });
  };
  CHECK_NOTHROW(forward(w.q, y));
  CHECK_THROWS_AS(forward(w.q, wrong), Error);
  Quant4Matrix bad = w.q;
  bad.codes = nullptr;
  CHECK_THROWS_AS(forward(bad, y), Error);
  bad = w.q;
  bad.absmax = nullptr;
  CHECK_THROWS_AS(forward(bad, y), Error);
  bad = w.q;
  bad.dtype = DType::kF64;
  CHECK_THROWS_AS(forward(bad, y), Error);
}

}  // namespace qe
