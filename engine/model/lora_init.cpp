// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/lora_init.h"

#include <algorithm>
#include <cmath>

#include "engine/model/name_hash.h"
#include "engine/model/portable_math.h"
#include "kernels/core/philox.h"

namespace qe {
namespace {

// One stream of random numbers for each matrix.
class Stream {
 public:
  Stream(uint64_t seed, const std::string& name)
      : key_(philox_key(seed, RandomPurpose::kLoraInit)), hash_(name_hash(name)) {}
  Philox4 operator()(uint64_t index) const {
    return philox4x32(key_,
                      Philox4{static_cast<uint32_t>(hash_), static_cast<uint32_t>(hash_ >> 32),
                              static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)});
  }

 private:
  PhiloxKey key_;
  uint64_t hash_;
};

float symmetric(uint32_t bits) { return 2.0f * unit_float(bits) - 1.0f; }

// torch.nn.Linear's weight of so many inputs.
void fill_uniform(const Stream& stream, int64_t fan_in, std::span<float> values) {
  const float bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(fan_in)));
  for (size_t i = 0; i < values.size(); i += 4) {
    const Philox4 bits = stream(i / 4);
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    for (size_t j = i; j < std::min(i + 4, values.size()); ++j) {
      values[j] = symmetric(words[j - i]) * bound;
    }
  }
}

// Marsaglia's polar method: two normal numbers from a point in the unit disc. The top bits of the
// index count the tries.
void fill_normal(const Stream& stream, double deviation, std::span<float> values) {
  for (size_t i = 0; i < values.size(); i += 2) {
    double u = 0.0, v = 0.0, s = 0.0;
    for (uint64_t attempt = 0; s <= 0.0 || s >= 1.0; ++attempt) {
      const Philox4 bits = stream(attempt << 48 | i / 2);
      u = static_cast<double>(symmetric(bits.x));
      v = static_cast<double>(symmetric(bits.y));
      s = u * u + v * v;
    }
    const double factor = deviation * std::sqrt(-2.0 * portable_log(s) / s);
    values[i] = static_cast<float>(u * factor);
    if (i + 1 < values.size()) values[i + 1] = static_cast<float>(v * factor);
  }
}

}  // namespace

void fill_normal(uint64_t seed, const std::string& name, double deviation,
                 std::span<float> values) {
  fill_normal(Stream(seed, name), deviation, values);
}

void initialize_lora(AdapterConfig::Init init, uint64_t seed, const std::string& module,
                     const LoraFactors& factors) {
  const Stream stream(seed, module);
  if (init == AdapterConfig::Init::kGaussian) {
    fill_normal(stream, 1.0 / static_cast<double>(factors.r), factors.a);
  } else {
    fill_uniform(stream, factors.in, factors.a);
  }
  if (init == AdapterConfig::Init::kRandom) {
    fill_uniform(Stream(seed, module + ".lora_B"), factors.r, factors.b);
  } else {
    std::fill(factors.b.begin(), factors.b.end(), 0.0f);
  }
}

}  // namespace qe
