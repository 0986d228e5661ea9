// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/simd.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/cpu/isa.h"
#include "tests/kernels/simd_probe.h"
#include "tests/support/op_context.h"

namespace qe::cpu {
namespace {

constexpr Isa kIsas[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};
constexpr float kInf = std::numeric_limits<float>::infinity();

void on_every_isa(const std::function<void()>& body) {
  for (const Isa isa : kIsas) {
    if (!isa_supported(isa)) continue;
    const ScopedIsa forced(isa);
    CAPTURE(running_isa_name());
    body();
  }
}

bool same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

// Values of all kinds: half of them any bits at all, half of moderate size.
float any_value(test::Random& random) {
  constexpr float kSpecial[] = {0.0f,     -0.0f,     1.0f,         -1.0f,    kInf,
                                -kInf,    0x1p-149f, 0x1p-126f,    65504.0f, 65520.0f,
                                0x1p-24f, 0x1p-25f,  3.4028235e38f};
  const uint64_t bits = random.next();
  switch (bits % 4) {
    case 0:
      return kSpecial[(bits >> 8) % std::size(kSpecial)];
    case 1:
      return std::bit_cast<float>(static_cast<uint32_t>(bits >> 32));
    case 2:
      return random.symmetric() * 4.0f;
    default:
      return std::nearbyint(random.symmetric() * 8.0f);
  }
}

// What simd.h says each operation is, in plain C++.
float plain(Probe op, float a, float b, float c) {
  const uint32_t x = std::bit_cast<uint32_t>(a), y = std::bit_cast<uint32_t>(b);
  const auto f = [](uint32_t v) { return std::bit_cast<float>(v); };
  switch (op) {
    case Probe::kAdd:
      return a + b;
    case Probe::kSub:
      return a - b;
    case Probe::kMul:
      return a * b;
    case Probe::kDiv:
      return a / b;
    case Probe::kFma:
      return std::fma(a, b, c);
    case Probe::kFnma:
      return std::fma(-a, b, c);
    case Probe::kSqrt:
      return std::sqrt(a);
    case Probe::kMin:
      return a < b ? a : b;
    case Probe::kMax:
      return a > b ? a : b;
    case Probe::kSelectLess:
      return a < b ? c : 1.0f;
    case Probe::kSelectLessEqual:
      return a <= b ? c : 1.0f;
    case Probe::kSelectEqual:
      return a == b || (a < b && b < c) ? c : 1.0f;
    case Probe::kRoundF16:
      return from_f16(to_f16(a));
    case Probe::kRoundBf16:
      return std::isnan(a) ? a : from_bf16(to_bf16(a));
    case Probe::kAbs:
      return f(x & 0x7fffffffu);
    case Probe::kNegate:
      return f(x ^ 0x80000000u);
    case Probe::kIntAdd:
      return f(x + y);
    case Probe::kIntSub:
      return f(x - y);
    case Probe::kIntAnd:
      return f(x & y);
    case Probe::kIntOr:
      return f(x | y);
    case Probe::kIntXor:
      return f(x ^ y);
    case Probe::kMulLow:
      return f(x * y);
    case Probe::kMulHigh:
      return f(static_cast<uint32_t>(uint64_t{x} * y >> 32));
    case Probe::kShiftLeft:
      return f(x << 5);
    case Probe::kShiftRight:
      return f(x >> 7);
    case Probe::kLessInt:
      return f(x < y ? 0xffffffffu : 0u);
    case Probe::kEqualInt:
      return f(x == y ? 0xffffffffu : 0u);
    case Probe::kToFloat:
      return static_cast<float>(static_cast<int32_t>(x));
    default:
      return 0.0f;
  }
}
bool has_plain_form(Probe op) {
  return op < Probe::kExp || (op > Probe::kLogistic && op < Probe::kNotFinite);
}

// |got - want| in units of the last place of want (2^-149 below the normal range).
double ulps(float got, long double want) {
  const float rounded = static_cast<float>(want);
  if (std::isinf(rounded) || std::isnan(got) || std::isinf(got)) {
    return got == rounded ? 0.0 : 1e9;
  }
  int exponent = 0;
  std::frexp(std::max(std::fabs(rounded), 0x1p-126f), &exponent);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want)) /
         std::ldexp(1.0, exponent - 24);
}

}  // namespace

TEST_CASE("isa: the forced instruction set is the one that runs") {
  on_every_isa([] { CHECK(running_isa_name() == isa_name()); });
  CHECK(isa_supported(Isa::kScalar));
  CHECK(running_isa_name() == isa_name());
}

TEST_CASE("simd: every operation is its plain form, lane by lane, on every instruction set") {
  on_every_isa([] {
    test::Random random(17);
    for (int round = 0; round < 2000; ++round) {
      float a[16], b[16], c[16], out[16];
      for (int i = 0; i < 16; ++i) {
        a[i] = any_value(random);
        b[i] = any_value(random);
        c[i] = any_value(random);
      }
      for (int op = 0; op < static_cast<int>(Probe::kCount); ++op) {
        const Probe probe = static_cast<Probe>(op);
        if (!has_plain_form(probe)) continue;
        QE_ISA_SELECT(simd_probe)(probe, a, b, c, out);
        for (int i = 0; i < 16; ++i) {
          if (probe == Probe::kRoundBf16 && std::isnan(a[i])) continue;
          const float want = plain(probe, a[i], b[i], c[i]);
          if (same(out[i], want)) continue;
          CAPTURE(op);
          CAPTURE(a[i]);
          CAPTURE(b[i]);
          CAPTURE(c[i]);
          CHECK(out[i] == want);
        }
      }
      QE_ISA_SELECT(simd_probe)(Probe::kNotFinite, a, b, c, out);
      uint32_t want = 0;
      for (int i = 0; i < 16; ++i) want |= static_cast<uint32_t>(!std::isfinite(a[i])) << i;
      CHECK(std::bit_cast<uint32_t>(out[0]) == want);
    }
  });
}

TEST_CASE("simd: 16-bit floats load exactly, all 65,536 of each") {
  on_every_isa([] {
    int different = 0;
    for (uint32_t base = 0; base < 0x10000u; base += 16) {
      uint16_t in[16];
      float half[16], brain[16];
      for (uint32_t i = 0; i < 16; ++i) in[i] = static_cast<uint16_t>(base + i);
      QE_ISA_SELECT(simd_load_f16)(in, half);
      QE_ISA_SELECT(simd_load_bf16)(in, brain);
      for (int i = 0; i < 16; ++i) {
        different += !same(half[i], from_f16(in[i])) + !same(brain[i], from_bf16(in[i]));
      }
    }
    CHECK(different == 0);
  });
}

TEST_CASE("simd: reductions follow the stated tree") {
  test::Random random(3);
  for (int round = 0; round < 200; ++round) {
    float a[16];
    for (float& x : a) x = random.symmetric() * std::exp2(static_cast<float>(random.next() % 20));
    float sum[16], best[16];
    std::copy(a, a + 16, sum);
    std::copy(a, a + 16, best);
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) {
        sum[i] += sum[i + half];
        best[i] = std::max(best[i], best[i + half]);
      }
    }
    on_every_isa([&] {
      CHECK(same(QE_ISA_SELECT(simd_reduce_add)(a), sum[0]));
      CHECK(same(QE_ISA_SELECT(simd_reduce_max)(a), best[0]));
    });
  }
}

TEST_CASE("simd: partial loads and stores touch what they should") {
  on_every_isa([] {
    for (int64_t n = 0; n <= 16; ++n) {
      // The elements end where the vector's memory ends: reading beyond is for sanitizers to see.
      const std::vector<float> in(static_cast<size_t>(n), 2.0f);
      float loaded[16];
      QE_ISA_SELECT(simd_load_first)(in.data(), n, loaded);
      float full[16], stored[16];
      for (int i = 0; i < 16; ++i) {
        CHECK(loaded[i] == (i < n ? 2.0f : 0.0f));
        full[i] = 3.0f;
        stored[i] = -1.0f;
      }
      QE_ISA_SELECT(simd_store_first)(full, n, stored);
      for (int i = 0; i < 16; ++i) CHECK(stored[i] == (i < n ? 3.0f : -1.0f));
    }
  });
}

TEST_CASE("simd: transposes and interleaving") {
  on_every_isa([] {
    std::vector<float> src(16 * 21), dst(16 * 19, -1.0f), tiles(96 + 16, -1.0f);
    for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>(i);
    QE_ISA_SELECT(simd_transpose)(src.data(), 21, dst.data(), 19);
    QE_ISA_SELECT(simd_interleave6)(src.data(), 21, tiles.data());
    for (size_t i = 0; i < 16; ++i) {
      for (size_t j = 0; j < 16; ++j) CHECK(dst[j * 19 + i] == src[i * 21 + j]);
      for (size_t row = 0; row < 6; ++row) CHECK(tiles[i * 6 + row] == src[row * 21 + i]);
    }
    for (size_t i = 0; i < 15; ++i) CHECK(dst[i * 19 + 16] == -1.0f);
  });
}

TEST_CASE("simd: nibbles look up their values, in rows and in columns") {
  float table[16];
  for (int i = 0; i < 16; ++i)
    table[i] = std::bit_cast<float>(0x3f812345u * static_cast<uint32_t>(i + 3));
  std::vector<uint8_t> bytes(16 * 11);
  test::Random random(23);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next());
  const auto want = [&](size_t byte, size_t k) {
    const uint8_t pair = bytes[byte + k / 2];
    return table[k % 2 == 0 ? pair >> 4 : pair & 15];
  };
  on_every_isa([&] {
    float pair[32], columns[256];
    QE_ISA_SELECT(simd_lookup_pair)(table, &bytes[3], &bytes[50], pair);
    QE_ISA_SELECT(simd_lookup_columns)(table, bytes.data(), 11, columns);
    for (size_t k = 0; k < 16; ++k) {
      CHECK(same(pair[k], want(3, k)));
      CHECK(same(pair[16 + k], want(50, k)));
      for (size_t row = 0; row < 16; ++row) CHECK(same(columns[16 * k + row], want(11 * row, k)));
    }
  });
}

TEST_CASE("vecmath: errors stay within what vecmath.h states, over the whole range") {
  struct Function {
    const char* name;
    Probe op;
    double limit;
    long double (*exact)(long double);
  };
  const Function functions[] = {
      {"exp", Probe::kExp, 1.0, [](long double x) { return std::exp(x); }},
      {"log", Probe::kLog, 1.0, [](long double x) { return std::log(x); }},
      {"erf", Probe::kErf, 1.1, [](long double x) { return std::erf(x); }},
      {"tanh", Probe::kTanh, 1.4, [](long double x) { return std::tanh(x); }},
      {"logistic", Probe::kLogistic, 2.7, [](long double x) { return 1 / (1 + std::exp(-x)); }},
  };
  // Every 9973rd fp32 number: all exponents and both signs.
  std::vector<float> in;
  for (uint64_t bits = 0; bits < 0x100000000ull; bits += 9973) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (std::isfinite(x)) in.push_back(x);
  }
  in.resize(in.size() / 16 * 16);
  for (const Function& f : functions) {
    CAPTURE(f.name);
    std::vector<float> first;
    on_every_isa([&] {
      std::vector<float> out(in.size());
      QE_ISA_SELECT(simd_probe_all)(f.op, in.data(), out.data(), static_cast<int64_t>(in.size()));
      if (first.empty()) {
        first = out;
        double worst = 0.0;
        float at = 0.0f;
        for (size_t i = 0; i < in.size(); ++i) {
          if (f.op == Probe::kLog && in[i] < 0.0f) {
            CHECK(std::isnan(out[i]));
            continue;
          }
          const double error = ulps(out[i], f.exact(static_cast<long double>(in[i])));
          if (error > worst) {
            worst = error;
            at = in[i];
          }
        }
        CAPTURE(at);
        CHECK(worst <= f.limit);
        CHECK(worst > 0.3);  // the comparison itself works
      }
      int different = 0;
      for (size_t i = 0; i < in.size(); ++i) different += !same(out[i], first[i]);
      CHECK(different == 0);
    });
  }
}

TEST_CASE("vecmath: limits") {
  const float nan = std::nanf("");
  struct Row {
    Probe op;
    float in, out;
  };
  const Row rows[] = {
      {Probe::kExp, -kInf, 0.0f},     {Probe::kExp, kInf, kInf},
      {Probe::kExp, 89.0f, kInf},     {Probe::kExp, 1e30f, kInf},
      {Probe::kExp, -104.0f, 0.0f},   {Probe::kExp, -1e30f, 0.0f},
      {Probe::kExp, 0.0f, 1.0f},      {Probe::kExp, -0.0f, 1.0f},
      {Probe::kLog, 0.0f, -kInf},     {Probe::kLog, -0.0f, -kInf},
      {Probe::kLog, kInf, kInf},      {Probe::kLog, 1.0f, 0.0f},
      {Probe::kLog, -1.0f, nan},      {Probe::kLog, -kInf, nan},
      {Probe::kErf, kInf, 1.0f},      {Probe::kErf, -kInf, -1.0f},
      {Probe::kErf, -0.0f, -0.0f},    {Probe::kErf, 5.0f, 1.0f},
      {Probe::kTanh, kInf, 1.0f},     {Probe::kTanh, -kInf, -1.0f},
      {Probe::kTanh, -0.0f, -0.0f},   {Probe::kTanh, 100.0f, 1.0f},
      {Probe::kLogistic, kInf, 1.0f}, {Probe::kLogistic, -kInf, 0.0f},
      {Probe::kLogistic, 0.0f, 0.5f}, {Probe::kLogistic, -200.0f, 0.0f},
      {Probe::kExp, nan, nan},        {Probe::kLog, nan, nan},
      {Probe::kErf, nan, nan},        {Probe::kTanh, nan, nan},
      {Probe::kLogistic, nan, nan},
  };
  on_every_isa([&] {
    for (const Row& row : rows) {
      float in[16], out[16];
      for (float& x : in) x = row.in;
      QE_ISA_SELECT(simd_probe_all)(row.op, in, out, 16);
      CAPTURE(static_cast<int>(row.op));
      CAPTURE(row.in);
      CAPTURE(out[0]);
      for (const float x : out) CHECK(same(x, row.out));
    }
  });
}

}  // namespace qe::cpu
