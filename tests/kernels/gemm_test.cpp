// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/gemm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "kernels/cpu/isa.h"
#include "tests/reference/gemm.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

constexpr cpu::Isa kIsas[] = {cpu::Isa::kScalar, cpu::Isa::kAvx2, cpu::Isa::kAvx512,
                              cpu::Isa::kNeon};

struct Case {
  int64_t m, n, k;
  bool a_transposed = false;
  bool b_transposed = true;
  DType b_dtype = DType::kF32;  // on the CPU
  float alpha = 1.0f;
  bool bias = false;
  GradientMode mode = GradientMode::kOverwrite;
  bool strided = false;
  bool f32_result = false;
};

std::string describe(const Case& c) {
  return cat(c.m, " x ", c.n, " x ", c.k, c.a_transposed ? " a^T" : "",
             c.b_transposed ? " b^T" : "", " ", dtype_name(c.b_dtype), " alpha ", c.alpha,
             c.bias ? " bias" : "", c.mode == GradientMode::kAccumulate ? " accumulate" : "",
             c.strided ? " strided" : "", c.f32_result ? " to fp32" : "");
}

// The operands of a case; b also as the fp32 values that its dtype holds.
struct Operands {
  Matrix a, b, bias;
  std::vector<uint16_t> b16;
  explicit Operands(const Case& c)
      : a(Matrix::random(c.a_transposed ? c.k : c.m, c.a_transposed ? c.m : c.k, 1,
                         c.strided ? (c.a_transposed ? c.m : c.k) + 7 : 0)),
        b(Matrix::random(c.b_transposed ? c.n : c.k, c.b_transposed ? c.k : c.n, 2,
                         c.strided ? (c.b_transposed ? c.k : c.n) + 3 : 0)),
        bias(Matrix::random(1, c.n, 3)) {
    if (c.f32_result) bias.of_f32();
    if (c.b_dtype == DType::kF32 || test::on_gpu()) return;
    for (int64_t i = 0; i < b.rows(); ++i) {
      for (int64_t j = 0; j < b.cols(); ++j) {
        const bool half = c.b_dtype == DType::kF16;
        b16.push_back(half ? to_f16(b.at(i, j)) : to_bf16(b.at(i, j)));
        b.at(i, j) = half ? from_f16(b16.back()) : from_bf16(b16.back());
      }
    }
  }
  Tensor b_view(DType dtype) {
    return dtype == DType::kF32 || test::on_gpu()
               ? b.view()
               : make_tensor(b16.data(), b.rows(), b.cols(), dtype);
  }
};

Matrix fresh_c(const Case& c) {
  const int64_t stride = c.strided ? c.n + 5 : 0;
  Matrix out = c.mode == GradientMode::kAccumulate ? Matrix::random(c.m, c.n, 4, stride)
                                                   : Matrix(c.m, c.n, stride);  // NaN
  return c.f32_result ? out.of_f32() : out;
}

Matrix run(const Case& c, Operands& in, int n_threads) {
  Matrix out = fresh_c(c);
  run_planned(n_threads, [&](Context& ctx) {
    gemm(ctx, {.a = in.a.view(),
               .b = in.b_view(c.b_dtype),
               .a_transposed = c.a_transposed,
               .b_transposed = c.b_transposed,
               .bias = c.bias ? in.bias.view() : Tensor{},
               .alpha = c.alpha,
               .c = out.view(),
               .mode = c.mode});
  });
  return out;
}

// Every element against float64. An fp32 chain of k roundings of partial sums below `magnitude`
// errs by at most (k + 2) * 2^-24 * magnitude (alpha and bias are one rounding each).
void check_float64(const Case& c, Operands& in, const Matrix& got) {
  const Matrix start = fresh_c(c);
  const auto a = [&](int64_t i, int64_t k) {
    return c.a_transposed ? in.a.at(k, i) : in.a.at(i, k);
  };
  const auto b = [&](int64_t k, int64_t j) {
    return c.alpha * (c.b_transposed ? in.b.at(j, k) : in.b.at(k, j));
  };
  double worst = 0.0;
  test::Doubles expected;
  std::string where = "none";
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      const double from = c.mode == GradientMode::kAccumulate ? double{start.at(i, j)} : 0.0;
      reference::Product want = reference::dot(a, b, i, j, c.k, from);
      if (c.bias) {
        want.value += double{in.bias.at(0, j)};
        want.magnitude += std::fabs(double{in.bias.at(0, j)});
      }
      expected.push_back(want.value);
      const double bound = static_cast<double>(c.k + 2) * 0x1p-24 * want.magnitude + 1e-300;
      const double error = std::fabs(double{got.at(i, j)} - want.value) / bound;
      if (error <= worst) continue;
      worst = error;
      where = cat("(", i, ", ", j, "): got ", got.at(i, j), ", expected ", want.value);
    }
  }
  INFO("worst cell ", where);
  if (test::on_gpu()) {
    const double limit = c.f32_result ? 1e-5 : test::tolerance(test::Result::kElements, 0.0);
    CHECK(test::relative_error(got, expected) < limit);
  } else {
    CHECK(worst <= 1.0);
  }
  bool finite = true;
  for (const uint32_t bits : got.bits()) finite &= (bits & 0x7f800000u) != 0x7f800000u;
  CHECK(finite);
  CHECK(got.guards_intact());
}

// The exact bits that the contract promises.
void check_chain(const Case& c, Operands& in, const Matrix& got) {
  const Matrix start = fresh_c(c);
  const auto a = [&](int64_t i, int64_t k) {
    return c.a_transposed ? in.a.at(k, i) : in.a.at(i, k);
  };
  const auto b = [&](int64_t k, int64_t j) {
    return c.alpha * (c.b_transposed ? in.b.at(j, k) : in.b.at(k, j));
  };
  int64_t different = 0;
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      const float from = c.mode == GradientMode::kAccumulate ? start.at(i, j) : 0.0f;
      float want = reference::chain(a, b, i, j, c.k, from);
      if (c.bias) want += in.bias.at(0, j);
      different += std::bit_cast<uint32_t>(want) != std::bit_cast<uint32_t>(got.at(i, j));
    }
  }
  CHECK(different == 0);
}

const Case kCases[] = {
    {.m = 1, .n = 1, .k = 1},
    {.m = 1, .n = 64, .k = 64},
    {.m = 1, .n = 131, .k = 300, .bias = true},
    {.m = 2, .n = 100, .k = 33, .b_transposed = false},
    {.m = 3, .n = 70, .k = 257, .b_dtype = DType::kF16, .bias = true},
    {.m = 4, .n = 17, .k = 15, .b_dtype = DType::kBF16},
    {.m = 5, .n = 16, .k = 256, .a_transposed = true, .b_transposed = false},
    {.m = 7, .n = 8, .k = 513, .alpha = 0.3f},
    {.m = 16, .n = 96, .k = 64, .mode = GradientMode::kAccumulate},
    {.m = 127, .n = 65, .k = 40, .bias = true, .strided = true},
    {.m = 129, .n = 33, .k = 100, .b_transposed = false, .strided = true},
    {.m = 129, .n = 8, .k = 71, .alpha = -2.5f, .mode = GradientMode::kAccumulate},
    {.m = 72,
     .n = 8,
     .k = 129,
     .a_transposed = true,
     .b_transposed = false,
     .mode = GradientMode::kAccumulate,
     .strided = true},
    {.m = 8, .n = 80, .k = 129, .a_transposed = true, .b_transposed = false, .alpha = 0.7f},
    {.m = 200, .n = 72, .k = 260, .a_transposed = true, .b_dtype = DType::kBF16},
    {.m = 30, .n = 560, .k = 20, .b_dtype = DType::kF16, .strided = false},
    {.m = 40, .n = 530, .k = 270, .b_transposed = false, .b_dtype = DType::kBF16},
    // Few rows: every height of a tile, several blocks of k, columns left over.
    {.m = 1, .n = 53, .k = 784, .b_dtype = DType::kF16, .bias = true},
    {.m = 2, .n = 48, .k = 400, .mode = GradientMode::kAccumulate, .strided = true},
    {.m = 3, .n = 40, .k = 784, .b_dtype = DType::kBF16, .strided = true},
    {.m = 5, .n = 33, .k = 416, .bias = true},
    {.m = 8, .n = 32, .k = 96, .b_dtype = DType::kBF16, .mode = GradientMode::kAccumulate},
    {.m = 11, .n = 64, .k = 48, .b_dtype = DType::kF16},
    {.m = 13, .n = 37, .k = 784, .bias = true, .strided = true},
    // More rows than a packed block of a, more columns than one of b, several blocks of k.
    {.m = 601, .n = 150, .k = 401},
    {.m = 600, .n = 20, .k = 790, .b_transposed = false, .mode = GradientMode::kAccumulate},
    {.m = 590, .n = 133, .k = 390, .a_transposed = true, .b_transposed = false},
    {.m = 33, .n = 24, .k = 800, .alpha = 0.5f, .bias = true, .f32_result = true},
    {.m = 64,
     .n = 32,
     .k = 1000,
     .a_transposed = true,
     .b_transposed = false,
     .mode = GradientMode::kAccumulate,
     .f32_result = true},
    {.m = 6, .n = 5, .k = 0, .bias = true},
    {.m = 6, .n = 5, .k = 0, .mode = GradientMode::kAccumulate, .strided = true},
    {.m = 0, .n = 5, .k = 3},
    {.m = 5, .n = 0, .k = 3},
};

}  // namespace

DEVICE_TEST_CASE(
    "gemm: float64 reference and the promised chain, bit for bit, on every instruction set") {
  for (const Case& c : kCases) {
    CAPTURE(describe(c));
    Operands in(c);
    for (const cpu::Isa isa : kIsas) {
      if (!cpu::isa_supported(isa)) continue;
      const cpu::ScopedIsa forced(isa);
      REQUIRE(cpu::running_isa_name() == cpu::isa_name(isa));
      CAPTURE(cpu::running_isa_name());
      const Matrix got = run(c, in, 1);
      check_float64(c, in, got);
      if (!test::on_gpu()) check_chain(c, in, got);
    }
  }
}

DEVICE_TEST_CASE("gemm: sums that GPUs cut into parts") {
  constexpr GradientMode kAdd = GradientMode::kAccumulate;
  const Case cases[] = {{.m = 37, .n = 72, .k = 8256},
                        {.m = 5, .n = 64, .k = 8192, .bias = true},
                        {.m = 40, .n = 24, .k = 9001, .b_transposed = false, .mode = kAdd},
                        {.m = 16, .n = 32, .k = 8200, .a_transposed = true, .strided = true},
                        {.m = 24,
                         .n = 40,
                         .k = 8264,
                         .a_transposed = true,
                         .b_transposed = false,
                         .mode = kAdd,
                         .f32_result = true}};
  for (const Case& c : cases) {
    INFO(describe(c));
    Operands in(c);
    const Matrix got = run(c, in, 2);
    check_float64(c, in, got);
    CHECK(run(c, in, 2).bits() == got.bits());
  }
}

DEVICE_TEST_CASE("gemm: the gradient of a Linear's weight, dW += dY^T X over many tokens") {
  struct Size {
    int64_t n, k, tokens;
    DType x_dtype = DType::kF32;  // on the CPU
  };
  // n not a multiple of 8: heads, vocabularies.
  for (const Size& size : test::sizes<Size>({{256, 192, 16384},
                                             {768, 768, 8200, DType::kBF16},
                                             {3, 768, 4096},
                                             {96, 320, 1001, DType::kF16},
                                             {250, 64, 9000},
                                             {1024, 1024, 37}},
                                            {{24, 16, 8200}, {3, 64, 100}})) {
    const Case c{.m = size.n,
                 .n = size.k,
                 .k = size.tokens,
                 .a_transposed = true,
                 .b_transposed = false,
                 .b_dtype = size.x_dtype,
                 .mode = GradientMode::kAccumulate,
                 .f32_result = true};
    CAPTURE(describe(c));
    Operands in(c);
    const Matrix start = fresh_c(c);
    const Matrix got = run(c, in, 2);
    const auto a = [&](int64_t i, int64_t t) { return in.a.at(t, i); };
    const auto b = [&](int64_t t, int64_t j) { return in.b.at(t, j); };
    // Some rows and columns, the last ones among them.
    test::Doubles found, expected;
    int64_t different = 0;
    for (int64_t i = (c.m - 1) % 17; i < c.m; i += 17) {
      for (int64_t j = (c.n - 1) % 13; j < c.n; j += 13) {
        expected.push_back(reference::dot(a, b, i, j, c.k, double{start.at(i, j)}).value);
        found.push_back(double{got.at(i, j)});
        if (test::on_gpu()) continue;
        const float chain = reference::chain(a, b, i, j, c.k, start.at(i, j));
        different += std::bit_cast<uint32_t>(chain) != std::bit_cast<uint32_t>(got.at(i, j));
      }
    }
    CHECK(test::relative_error(found, expected) < 2e-5);
    CHECK(different == 0);
    CHECK(got.guards_intact());
    CHECK(run(c, in, 1).bits() == got.bits());
  }
}

TEST_CASE("gemm: thread counts and tile borders change no bit") {
  // Large enough to be cut into many tasks.
  for (const Case& c :
       {Case{.m = 17, .n = 768, .k = 300, .bias = true},
        Case{.m = 300, .n = 200, .k = 520, .b_transposed = false}, Case{.m = 700, .n = 8, .k = 512},
        Case{.m = 300, .n = 16, .k = 700, .a_transposed = true, .b_transposed = false}}) {
    CAPTURE(describe(c));
    Operands in(c);
    const std::vector<uint32_t> one = run(c, in, 1).bits();
    for (const int n_threads : {2, 3, 4, 7}) {
      CAPTURE(n_threads);
      const Matrix got = run(c, in, n_threads);
      CHECK(got.bits() == one);
      CHECK(got.guards_intact());
    }
  }
}

TEST_CASE("gemm: a row's bits do not depend on the rows beside it") {
  const Case all{.m = 61, .n = 100, .k = 300, .bias = true};
  Operands in(all);
  const Matrix together = run(all, in, 1);
  for (int64_t row = 0; row < all.m; row += 7) {
    for (const int64_t n : {1, 2, 3, 5}) {
      if (row + n > all.m) continue;
      Matrix out(n, all.n);
      run_planned(1, [&](Context& ctx) {
        gemm(ctx, {.a = in.a.view().row_range(row, n),
                   .b = in.b.view(),
                   .bias = in.bias.view(),
                   .c = out.view()});
      });
      int64_t different = 0;
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < all.n; ++j) {
          different += std::bit_cast<uint32_t>(out.at(i, j)) !=
                       std::bit_cast<uint32_t>(together.at(row + i, j));
        }
      }
      CHECK(different == 0);
    }
  }
}

DEVICE_TEST_CASE("gemm: infinities and NaN reach exactly the elements they belong to") {
  const Case c{.m = 20, .n = 40, .k = 30};
  Operands in(c);
  in.a.at(3, 7) = std::numeric_limits<float>::infinity();
  in.b.at(11, 5) = std::nanf("");
  const Matrix got = run(c, in, 2);
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      if (j == 11) {
        CHECK(std::isnan(got.at(i, j)));
      } else {
        CHECK(std::isinf(got.at(i, j)) == (i == 3));
      }
    }
  }
}

TEST_CASE("gemm: scratch depends on shapes and threads only") {
  for (const int n_threads : {1, 4}) {
    ThreadPool threads(n_threads);
    const Context ctx{.threads = &threads};
    std::vector<size_t> sizes;
    for (const cpu::Isa isa : kIsas) {
      if (!cpu::isa_supported(isa)) continue;
      const cpu::ScopedIsa forced(isa);
      sizes.push_back(gemm_workspace_bytes(ctx, 300, 700, 900));
    }
    for (const size_t size : sizes) CHECK(size == sizes[0]);
    // What was planned for the most rows does for fewer.
    for (const int64_t n : {24, 64, 700}) {
      size_t fewer = 0;
      for (int64_t m = 0; m < 700; ++m) {
        const size_t size = gemm_workspace_bytes(ctx, m, n, 900);
        CHECK(size >= fewer);
        fewer = size;
      }
    }
  }
}

TEST_CASE("gemm: contract violations are refused") {
  Matrix a(4, 8), b(6, 8), c(4, 6), bias(1, 6);
  const auto attempt = [&](const Gemm& args) {
    run_planned(1, [&](Context& ctx) { gemm(ctx, args); });
  };
  const Gemm good{.a = a.view(), .b = b.view(), .c = c.view()};
  CHECK_NOTHROW(attempt(good));
  Gemm bad = good;
  bad.b = make_tensor(b.view().data, 6, 7);
  CHECK_THROWS_AS(attempt(bad), Error);
  bad = good;
  bad.b.dtype = DType::kI32;
  CHECK_THROWS_AS(attempt(bad), Error);
  bad = good;
  bad.bias = bias.view();
  bad.mode = GradientMode::kAccumulate;
  CHECK_THROWS_AS(attempt(bad), Error);
  bad = good;
  bad.c = a.view().col_range(0, 6);  // overlaps a
  CHECK_THROWS_AS(attempt(bad), Error);
  bad = good;
  bad.a.device = Device{DeviceKind::kCuda, 0};
  CHECK_THROWS_AS(attempt(bad), Error);
}

}  // namespace qe
