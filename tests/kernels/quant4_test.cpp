// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/quant4.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "kernels/cpu/isa.h"
#include "tests/reference/quant4.h"
#include "tests/support/quantized.h"

namespace qe {
namespace {

using test::dequantize;
using test::List;
using test::matrix_of;
using test::quantize;
using test::Quantized;
using test::Random;
using test::run_planned;

constexpr cpu::Isa kIsas[] = {cpu::Isa::kScalar, cpu::Isa::kAvx2, cpu::Isa::kAvx512,
                              cpu::Isa::kNeon};

// The golden input of the format description: a linear congruential generator, block by block
// scaled.
std::vector<float> golden_input() {
  std::vector<float> w;
  uint32_t x = 1;
  for (int i = 0; i < 64 * 320; ++i) {
    x = 1664525u * x + 1013904223u;
    const float raw = static_cast<float>(x >> 8) / 16777216.0f * 2.0f - 1.0f;
    w.push_back(raw * (static_cast<float>(i / 64 % 13 + 1) / 16.0f));
  }
  return w;
}
std::string hex(const void* data, size_t n) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  std::string out;
  for (size_t i = 0; i < n; ++i) {
    out += "0123456789abcdef"[bytes[i] >> 4];
    out += "0123456789abcdef"[bytes[i] & 15];
  }
  return out;
}
uint32_t crc32(const List<uint8_t>& bytes) {
  uint32_t crc = 0xffffffffu;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}
double mean_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(double{a[i]} - double{b[i]});
  return sum / static_cast<double>(a.size());
}

}  // namespace

DEVICE_TEST_CASE("quant4: golden vectors of the format, on every instruction set") {
  std::vector<float> w = golden_input();
  REQUIRE(hex(w.data(), 16) == "4eef06bdecdd85bc80000b3ae8ccd13c");
  for (const cpu::Isa isa : kIsas) {
    if (!cpu::isa_supported(isa)) continue;
    const cpu::ScopedIsa forced(isa);
    CAPTURE(cpu::running_isa_name());
    Quantized nf4(Quant4Type::kNf4, 320, 64, 64);
    quantize(nf4, w);
    CHECK(hex(nf4.absmax.host().data(), 12) == "0a1a7d3d242eff3df0ee3a3e");
    CHECK(hex(nf4.codes.host().data(), 32) ==
          "247c04d80a259e2fe3b821031c942df14f586fecff14b1719e30f2e04041d51a");
    CHECK(crc32(nf4.codes) == 0x1d7815b3u);
    CHECK(mean_error(dequantize(nf4.view()), w) == doctest::Approx(0.0175049).epsilon(1e-5));

    Quantized fp4(Quant4Type::kFp4, 320, 64, 64);
    quantize(fp4, w);
    CHECK(hex(fp4.codes.host().data(), 32) ==
          "df14bf56b7de62d32c41dabca56fd53ac3f6932533af4a9a62cb3d2bfbca2ea7");
    CHECK(crc32(fp4.codes) == 0x29d019fau);

    Quantized nested(Quant4Type::kNf4, 320, 64, 64, true);
    quantize(nested, w);
    CHECK(crc32(nested.codes) == 0x1d7815b3u);
    CHECK(nested.q.nested_offset == doctest::Approx(0.42696884).epsilon(1e-7));
    CHECK(nested.nested_absmax[0] == doctest::Approx(std::bit_cast<float>(0x3ec5610du)));
    CHECK(nested.nested_absmax[1] == doctest::Approx(std::bit_cast<float>(0x3ec41b19u)));
    const std::vector<uint8_t> first{3,   15,  26,  38,  49,  61, 164, 197,
                                     208, 220, 231, 243, 251, 3,  15,  26};
    CHECK(std::equal(first.begin(), first.end(), nested.absmax_codes.begin()));
    CHECK(crc32(nested.absmax_codes) == 0xf235aafeu);
    float worst = 0.0f;
    for (size_t b = 0; b < 320; ++b) {
      const float scale = nested.map[nested.absmax_codes[b]] * nested.nested_absmax[b / 256] +
                          nested.q.nested_offset;
      worst = std::max(worst, std::fabs(scale - nf4.absmax[b]));
    }
    CHECK(worst == doctest::Approx(0.0027003).epsilon(1e-4));
  }
}

TEST_CASE("quant4: the dynamic map is what its formula says") {
  std::vector<double> expected{0.0, 1.0};
  for (int e = 0; e < 7; ++e) {
    for (int k = 0; k < 1 << e; ++k) {
      const double m = 0.1 + 0.9 * (k + 0.5) / (1 << e);
      expected.push_back(std::pow(10.0, e - 6) * m);
      expected.push_back(-std::pow(10.0, e - 6) * m);
    }
  }
  std::sort(expected.begin(), expected.end());
  const List<float> map = test::dynamic_map();
  REQUIRE(expected.size() == map.size());
  for (size_t i = 0; i < map.size(); ++i) {
    CHECK(std::fabs(map[i] - expected[i]) <= std::fabs(expected[i]) * 2e-7);
  }
}

TEST_CASE("quant4: NF4 thresholds are the midpoints of neighbours") {
  for (int i = 0; i < 15; ++i)
    CHECK(kNf4Thresholds[i] == (kNf4Values[i] + kNf4Values[i + 1]) * 0.5f);
}

DEVICE_TEST_CASE(
    "quant4: all block sizes and odd shapes equal the reference, for any threads and ISA") {
  struct Shape {
    int64_t n, k;
  };
  for (const Shape shape :
       {Shape{1, 1}, {1, 31}, {3, 43}, {5, 64}, {7, 129}, {33, 100}, {2, 5000}}) {
    for (int64_t block = 32; block <= 4096; block *= 2) {
      for (const Quant4Type type : {Quant4Type::kNf4, Quant4Type::kFp4}) {
        Random random(static_cast<uint64_t>(shape.n * 1000 + shape.k));
        std::vector<float> w(static_cast<size_t>(shape.n * shape.k));
        for (float& x : w) x = random.symmetric();
        const reference::Quantized4 want = reference::quantize4(type, w, block);
        for (const cpu::Isa isa : kIsas) {
          if (!cpu::isa_supported(isa)) continue;
          const cpu::ScopedIsa forced(isa);
          Quantized got(type, shape.n, shape.k, block);
          quantize(got, w, 3);
          CAPTURE(shape.n);
          CAPTURE(shape.k);
          CAPTURE(block);
          CHECK(got.codes.host() == want.codes);
          CHECK(got.absmax.host() == want.absmax);
          std::vector<float> decoded = dequantize(got.view());
          bool equal = true;
          for (size_t i = 0; i < w.size(); ++i) {
            const int code = want.codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
            const float* table = type == Quant4Type::kNf4 ? kNf4Values : kFp4Values;
            equal &= decoded[i] == table[code] * want.absmax[i / static_cast<size_t>(block)];
          }
          CHECK(equal);
        }
      }
    }
  }
}

DEVICE_TEST_CASE("quant4: work split over threads changes nothing") {
  const int64_t n = 300, k = 1000;  // several tasks
  Random random(5);
  std::vector<float> w(static_cast<size_t>(n * k));
  for (float& x : w) x = random.symmetric();
  Quantized one(Quant4Type::kNf4, n, k, 64, true);
  Quantized four(Quant4Type::kNf4, n, k, 64, true);
  quantize(one, w, 1);
  quantize(four, w, 4);
  CHECK(one.codes.host() == four.codes.host());
  CHECK(one.absmax_codes.host() == four.absmax_codes.host());
  CHECK(one.nested_absmax.host() == four.nested_absmax.host());
  CHECK(one.q.nested_offset == four.q.nested_offset);
}

DEVICE_TEST_CASE("quant4: zero blocks, signed zeros and subnormals") {
  std::vector<float> w(128, 0.0f);
  w[3] = -0.0f;
  w[64] = 1e-40f;  // 1 / absmax is infinite in this block
  w[65] = -1e-40f;
  Quantized nf4(Quant4Type::kNf4, 2, 64, 64);
  quantize(nf4, w);
  for (size_t i = 0; i < 32; ++i) CHECK(nf4.codes[i] == 0x77);
  CHECK(nf4.codes[32] == 0xf0);
  CHECK(nf4.codes[33] == 0x77);
  for (size_t i = 0; i < 128; ++i) CHECK(dequantize(nf4.view())[i] == w[i]);
  Quantized fp4(Quant4Type::kFp4, 2, 64, 64);
  quantize(fp4, w);
  for (size_t i = 0; i < 32; ++i) CHECK(fp4.codes[i] == 0x00);
}

DEVICE_TEST_CASE("quant4: double quantization of equal scales") {
  std::vector<float> w(64 * 4);
  for (size_t i = 0; i < w.size(); ++i) w[i] = i % 64 == 0 ? 0.5f : 0.25f;
  Quantized q(Quant4Type::kNf4, 4, 64, 64, true);
  quantize(q, w);
  CHECK(q.q.nested_offset == 0.5f);
  for (const uint8_t code : q.absmax_codes) CHECK(code == 127);
  CHECK(dequantize(q.view())[0] == 0.5f);
}

DEVICE_TEST_CASE("quant4: midpoint ties of the 8-bit codes go to the even index") {
  // A map of equal steps, so that midpoints and scales are exact.
  List<float> map(256);
  for (int i = 0; i < 256; ++i) map[static_cast<size_t>(i)] = static_cast<float>(i - 127) / 128.0f;
  const float middle = (map[200] + map[201]) * 0.5f;
  const float middle_odd = (map[201] + map[202]) * 0.5f;
  std::vector<float> w(64 * 6, 0.0f);
  const float scales[6] = {2.0f + 1.0f,   2.0f - 1.0f,       2.0f + middle,
                           2.0f - middle, 2.0f + middle_odd, 2.0f - middle_odd};
  for (size_t b = 0; b < 6; ++b) w[b * 64] = scales[b];
  Quantized q(Quant4Type::kNf4, 6, 64, 64, true);
  q.map = map;
  quantize(q, w);
  REQUIRE(q.q.nested_offset == 2.0f);
  REQUIRE(q.nested_absmax[0] == 1.0f);
  CHECK(q.absmax_codes[0] == 255);
  CHECK(q.absmax_codes[2] == 200);
  CHECK(q.absmax_codes[4] == 202);
  CHECK(q.absmax_codes[3] == 254 - 200);
  CHECK(q.absmax_codes[5] == 254 - 202);
}

DEVICE_TEST_CASE("quant4: 16-bit inputs quantize as their fp32 values") {
  Random random(9);
  List<uint16_t> half(1001), brain(1001);
  std::vector<float> from_half, from_brain;
  for (size_t i = 0; i < half.size(); ++i) {
    const float x = random.symmetric() * (i < 500 ? 1.0f : 1e-6f);  // subnormal halves too
    half[i] = to_f16(x);
    brain[i] = to_bf16(x);
    from_half.push_back(from_f16(half[i]));
    from_brain.push_back(from_bf16(brain[i]));
  }
  for (const cpu::Isa isa : kIsas) {
    if (!cpu::isa_supported(isa)) continue;
    const cpu::ScopedIsa forced(isa);
    Quantized a(Quant4Type::kNf4, 7, 143, 64), b(Quant4Type::kNf4, 7, 143, 64);
    quantize(a, from_half);
    run_planned(
        1, [&](Context& ctx) { quantize4(ctx, matrix_of(half, 7, 143, DType::kF16), b.view()); });
    CHECK(a.codes.host() == b.codes.host());
    CHECK(a.absmax.host() == b.absmax.host());
    quantize(a, from_brain);
    run_planned(
        1, [&](Context& ctx) { quantize4(ctx, matrix_of(brain, 7, 143, DType::kBF16), b.view()); });
    CHECK(a.codes.host() == b.codes.host());
    CHECK(a.absmax.host() == b.absmax.host());
  }
}

DEVICE_TEST_CASE("quant4: decoding rounds to the stored dtype once, then to the output's") {
  Random random(11);
  std::vector<float> w(37 * 53);
  for (float& x : w) x = random.symmetric() * 3e-5f;  // products reach below 2^-14
  Quantized q(Quant4Type::kNf4, 37, 53, 32);
  quantize(q, w);
  const std::vector<float> exact = dequantize(q.view());
  for (const cpu::Isa isa : kIsas) {
    if (!cpu::isa_supported(isa)) continue;
    const cpu::ScopedIsa forced(isa);
    for (const DType stored : {DType::kF32, DType::kF16, DType::kBF16}) {
      Quant4Matrix view = q.view();
      view.dtype = stored;
      const std::vector<float> rounded = dequantize(view);
      List<uint16_t> half(w.size()), brain(w.size());
      run_planned(2, [&](Context& ctx) {
        dequantize4(ctx, view, matrix_of(half, 37, 53, DType::kF16));
        dequantize4(ctx, view, matrix_of(brain, 37, 53, DType::kBF16));
      });
      bool equal = true;
      for (size_t i = 0; i < w.size(); ++i) {
        const float want = stored == DType::kF16    ? from_f16(to_f16(exact[i]))
                           : stored == DType::kBF16 ? from_bf16(to_bf16(exact[i]))
                                                    : exact[i];
        equal &= rounded[i] == want && half[i] == to_f16(want) && brain[i] == to_bf16(want);
      }
      CHECK(equal);
    }
  }
}

DEVICE_TEST_CASE("quant4: mean errors of a normal matrix are those of the format") {
  // Box-Muller over 512 x 512: the expected error's standard deviation is some 1.5e-4.
  Random random(13);
  std::vector<float> w(512 * 512);
  for (size_t i = 0; i < w.size(); i += 2) {
    const double u = (static_cast<double>(random.next() >> 11) + 1.0) * 0x1p-53;
    const double v = static_cast<double>(random.next() >> 11) * 0x1p-53;
    const double r = std::sqrt(-2.0 * std::log(u));
    w[i] = static_cast<float>(r * std::cos(6.283185307179586 * v));
    w[i + 1] = static_cast<float>(r * std::sin(6.283185307179586 * v));
  }
  struct Row {
    int64_t block;
    double nf4, fp4;
  };
  for (const Row row : {Row{32, 0.067746, 0.088925},
                        {64, 0.072798, 0.096543},
                        {128, 0.076831, 0.102969},
                        {4096, 0.092547, 0.129536}}) {
    for (const Quant4Type type : {Quant4Type::kNf4, Quant4Type::kFp4}) {
      Quantized q(type, 512, 512, row.block);
      quantize(q, w);
      const double want = type == Quant4Type::kNf4 ? row.nf4 : row.fp4;
      CHECK(std::fabs(mean_error(dequantize(q.view()), w) - want) < 1e-3);
    }
  }
}

DEVICE_TEST_CASE("quant4: what cannot be quantized is refused by name") {
  const auto message = [](float bad) {
    std::vector<float> w(5 * 40, 1.0f);
    w[2 * 40 + 7] = bad;
    w[4 * 40 + 1] = bad;
    Quantized q(Quant4Type::kNf4, 5, 40, 32);
    try {
      quantize(q, w, 2);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {inf, -inf, std::nanf("")}) {
    CHECK(message(bad).find("row 2, column 7") != std::string::npos);
  }

  std::vector<float> w(64, 1.0f);
  Quantized q(Quant4Type::kNf4, 1, 64, 64);
  for (const int64_t block : {0, 16, 48, 96, 8192}) {
    q.q.block_size = block;
    CHECK_THROWS_AS(quantize(q, w), Error);
  }
  q.q.block_size = 64;
  Quant4Matrix bad = q.view();
  bad.absmax = nullptr;
  List<float> list(w);
  CHECK_THROWS_AS(
      run_planned(1, [&](Context& ctx) { quantize4(ctx, matrix_of(list, 1, 64), bad); }), Error);
}

DEVICE_TEST_CASE("quant4: an empty matrix") {
  std::vector<float> w;
  Quantized q(Quant4Type::kNf4, 0, 64, 64, true);
  quantize(q, w);
  CHECK(dequantize(q.view()).empty());
}

}  // namespace qe
