// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/self_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <span>

#include "formats/hash.h"
#include "kernels/core/error.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/quant4.h"

namespace qe::tools {
namespace {

// XXH3-128 of the results, whatever the instruction set and the number of threads.
constexpr const char* kDecodedHash = "fe93a40438c28a98b53a1106502e708b";
constexpr const char* kProductHash = "2764a5ba3c73b49fc133a46fde895f28";

/// Values in [-1, 1) whose fp32 bits are the same everywhere.
std::vector<float> numbers(size_t n, uint32_t seed) {
  std::vector<float> out(n);
  uint32_t state = seed;
  for (float& value : out) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(state) >> 8) * 0x1p-23f;
  }
  return out;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", value);
  return text;
}

template <class T>
SelfCheck verdict(const char* name, double error, double allowed, std::span<const T> result,
                  const std::string& known_hash) {
  const std::string hash = hash_bytes(std::as_bytes(result));
  const bool same_bits = hash == known_hash;
  return {name, error <= allowed && same_bits,
          cat("largest error ", short_number(error), ", allowed ", short_number(allowed),
              same_bits ? std::string(", bits as on every machine")
                        : cat(", bits ", hash, " instead of ", known_hash))};
}

SelfCheck check_quantization(Context& ctx) {
  constexpr int64_t kN = 8, kK = 1000, kBlock = 64;  // the last block is short
  std::vector<float> w = numbers(kN * kK, 1);
  Quant4Matrix q{.n = kN, .k = kK, .block_size = kBlock};
  std::vector<uint8_t> codes(q.n_code_bytes());
  std::vector<float> absmax(q.n_blocks()), decoded(w.size());
  q.codes = codes.data();
  q.absmax = absmax.data();
  quantize4(ctx, make_tensor(w.data(), kN, kK), q);
  dequantize4(ctx, q, make_tensor(decoded.data(), kN, kK));
  // Beyond the distance to the nearest level, in units of the block's scale.
  double error = 0.0;
  for (size_t begin = 0; begin < w.size(); begin += kBlock) {
    const size_t end = std::min(begin + kBlock, w.size());
    double scale = 0.0;
    for (size_t i = begin; i < end; ++i) scale = std::max(scale, std::fabs(double{w[i]}));
    for (size_t i = begin; i < end; ++i) {
      double nearest = std::numeric_limits<double>::infinity();
      for (const float level : kNf4Values) {
        nearest = std::min(nearest, std::fabs(w[i] / scale - double{level}));
      }
      error = std::max(error, std::fabs(double{w[i]} - double{decoded[i]}) / scale - nearest);
    }
  }
  // Two roundings, of the value over the scale and of the level times the scale.
  return verdict("4-bit quantization", error, 0x1p-22, std::span<const float>(decoded),
                 kDecodedHash);
}

SelfCheck check_product(Context& ctx) {
  constexpr int64_t kM = 33, kN = 65, kK = 257;
  std::vector<float> a = numbers(kM * kK, 2), b = numbers(kN * kK, 3), c(kM * kN);
  gemm(ctx, Gemm{.a = make_tensor(a.data(), kM, kK),
                 .b = make_tensor(b.data(), kN, kK),
                 .c = make_tensor(c.data(), kM, kN)});
  // In units of what one rounding per term may add up to.
  double error = 0.0;
  for (int64_t m = 0; m < kM; ++m) {
    for (int64_t n = 0; n < kN; ++n) {
      double sum = 0.0, magnitude = 0.0;
      for (int64_t k = 0; k < kK; ++k) {
        const double term = double{a[m * kK + k]} * double{b[n * kK + k]};
        sum += term;
        magnitude += std::fabs(term);
      }
      error = std::max(error, std::fabs(sum - double{c[m * kN + n]}) / (kK * 0x1p-24 * magnitude));
    }
  }
  return verdict("matrix product", error, 1.0, std::span<const float>(c), kProductHash);
}

SelfCheck guarded(const char* name, const std::function<SelfCheck()>& check) {
  try {
    return check();
  } catch (const std::exception& error) {
    return {name, false, error.what()};
  }
}

}  // namespace

std::vector<SelfCheck> run_self_checks() {
  ThreadPool threads(0);
  constexpr size_t kArenaBytes = size_t{1} << 24;
  std::vector<std::byte> memory(kArenaBytes + Arena::kAlignment);
  void* begin = memory.data();
  size_t n_bytes = memory.size();
  Arena arena(std::align(Arena::kAlignment, kArenaBytes, begin, n_bytes), kArenaBytes);
  StepState step;
  Context ctx{.threads = &threads, .arena = &arena, .step = &step};
  return {guarded("4-bit quantization", [&] { return check_quantization(ctx); }),
          guarded("matrix product", [&] { return check_product(ctx); })};
}

}  // namespace qe::tools
