// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Random numbers that belong to a module: a pure function of the seed, its path and an index.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "engine/model/name_hash.h"
#include "engine/model/portable_math.h"
#include "kernels/core/philox.h"

namespace qe {

class NamedStream {
 public:
  NamedStream(uint64_t seed, const std::string& name)
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

/// Uniform in [-1, 1).
inline float symmetric(uint32_t bits) { return 2.0f * unit_float(bits) - 1.0f; }

/// Normal numbers by Marsaglia's polar method: two from a point in the unit disc. The top bits of
/// the index count the tries.
template <class T>
void fill_normal(const NamedStream& stream, double deviation, std::span<T> values) {
  for (size_t i = 0; i < values.size(); i += 2) {
    double u = 0.0, v = 0.0, s = 0.0;
    for (uint64_t attempt = 0; s <= 0.0 || s >= 1.0; ++attempt) {
      const Philox4 bits = stream(attempt << 48 | i / 2);
      u = static_cast<double>(symmetric(bits.x));
      v = static_cast<double>(symmetric(bits.y));
      s = u * u + v * v;
    }
    const double factor = deviation * std::sqrt(-2.0 * portable_log(s) / s);
    values[i] = static_cast<T>(u * factor);
    if (i + 1 < values.size()) values[i + 1] = static_cast<T>(v * factor);
  }
}

}  // namespace qe
