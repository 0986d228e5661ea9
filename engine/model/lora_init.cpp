// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/lora_init.h"

#include "engine/model/low_rank.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

using Init = AdapterConfig::Init;

// torch.nn.Linear's weight of so many inputs.
void fill_uniform(const NamedStream& stream, int64_t fan_in, std::span<float> values) {
  const float bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(fan_in)));
  for (size_t i = 0; i < values.size(); i += 4) {
    const Philox4 bits = stream(i / 4);
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    for (size_t j = i; j < std::min(i + 4, values.size()); ++j) {
      values[j] = symmetric(words[j - i]) * bound;
    }
  }
}

std::vector<float> normal(const NamedStream& stream, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  fill_normal<float>(stream, 1.0, values);
  return values;
}

// A and B are normal numbers times the odd and the even rows of one random orthogonal matrix, so
// that B A is 0 although neither is.
void fill_orthogonal(uint64_t seed, const std::string& module, const LoraFactors& f) {
  const int64_t r = f.r, half = f.r / 2;
  QE_CHECK(r % 2 == 0, module, ": the initialization \"orthogonal\" needs an even rank, got ", r);
  const NamedStream stream(seed, module + ".orthogonal");
  const std::vector<double> q = leading_qr({normal(stream, r * r), r, r}, r, stream).q;
  const std::vector<float> of_a = normal(NamedStream(seed, module), f.in * half);
  const std::vector<float> of_b = normal(NamedStream(seed, module + ".lora_B"), half * f.out);
  const auto sum = [&](const auto& random, int64_t parity, int64_t column) {
    double total = 0.0;
    for (int64_t k = 0; k < half; ++k) {
      total += random(k) * q[static_cast<size_t>((2 * k + parity) * r + column)];
    }
    return static_cast<float>(total / 10.0);
  };
  for (int64_t j = 0; j < r; ++j) {
    for (int64_t i = 0; i < f.in; ++i) {
      f.a[static_cast<size_t>(j * f.in + i)] =
          sum([&](int64_t k) { return double{of_a[static_cast<size_t>(i * half + k)]}; }, 0, j);
    }
    for (int64_t i = 0; i < f.out; ++i) {
      f.b[static_cast<size_t>(i * r + j)] =
          sum([&](int64_t k) { return double{of_b[static_cast<size_t>(k * f.out + i)]}; }, 1, j);
    }
  }
}

std::vector<float> rounded(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// A and B, each with the square root of the singular values, divided by `scale`.
InitialFactors factors_of(SingularTriplets&& found, double scale) {
  const size_t r = found.s.size(), cols = found.v.size() / r;
  for (size_t i = 0; i < r; ++i) {
    const double root = std::sqrt(found.s[i] / scale);
    for (size_t j = 0; j < cols; ++j) found.v[i * cols + j] *= root;
    for (size_t j = i; j < found.u.size(); j += r) found.u[j] *= root;
  }
  return {.a = rounded(found.v), .b = rounded(found.u)};
}

}  // namespace

void initialize_lora(Init init, uint64_t seed, const std::string& module,
                     const LoraFactors& factors) {
  if (init == Init::kOrthogonal) return fill_orthogonal(seed, module, factors);
  const NamedStream stream(seed, module);
  if (init == Init::kGaussian) {
    fill_normal<float>(stream, 1.0 / static_cast<double>(factors.r), factors.a);
  } else {
    fill_uniform(stream, factors.in, factors.a);
  }
  if (init == Init::kRandom) {
    fill_uniform(NamedStream(seed, module + ".lora_B"), factors.r, factors.b);
  } else {
    std::fill(factors.b.begin(), factors.b.end(), 0.0f);
  }
}

InitialFactors factors_from(const AdapterConfig& config, uint64_t seed, const std::string& module,
                            const MatrixView& w, int64_t r, double scale) {
  const NamedStream stream(seed, module);
  switch (config.init) {
    case Init::kPissa:
      return factors_of(config.pissa_iterations < 0
                            ? largest_triplets(w, r, stream)
                            : approximate_triplets(w, r, config.pissa_iterations, stream),
                        scale);
    case Init::kOlora: {
      const LeadingQr found = leading_qr(w, r, stream);
      return {.a = rounded(found.r), .b = rounded(found.q)};
    }
    case Init::kLoftq:
      return factors_of(largest_triplets(w, r, stream), scale);
    default:
      fail("an initialization that needs no weight");
  }
}

}  // namespace qe
