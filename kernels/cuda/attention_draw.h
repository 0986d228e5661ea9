// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Dropout of attention's probabilities inside the kernels: the words of kernels/core/philox.h for
// (sample, epoch, layer, head, query, key / 4), word key % 4.
//
// A call serves four consecutive keys of one query, so the kernels arrange that one thread holds
// all four of them (their essays say how) and no word is exchanged or thrown away. Within a thread
// block only the counter's last word changes, which leaves 16 of Philox's 20 products:
// AttentionDraw keeps what the first three rounds have in common.

#include "kernels/core/philox.h"

namespace qe::cuda {

class AttentionDraw {
 public:
  AttentionDraw() = default;
  QE_HOST_DEVICE AttentionDraw(PhiloxKey key, uint32_t sample, uint32_t epoch, uint32_t layer,
                               uint32_t head) {
    const uint32_t z0 = (layer << 16) | head;
    const uint32_t x1 = high(kM1, z0) ^ epoch ^ key.k0;
    const uint32_t z2 = high(kM0, x1) ^ kM0 * sample ^ (key.k1 + kW1);
    z1_ = high(kM0, sample) ^ key.k1;
    x2_ = kM1 * z0 ^ (key.k0 + kW0);
    x3_ = high(kM1, z2) ^ (key.k0 + 2 * kW0);
    z3_ = kM0 * x1 ^ (key.k1 + 2 * kW1);
    y3_ = kM1 * z2;
    k0_ = key.k0 + 3 * kW0;
    k1_ = key.k1 + 3 * kW1;
  }
  /// The words of keys 4 * quad .. 4 * quad + 3 for `query`.
  QE_HOST_DEVICE Philox4 operator()(uint32_t query, uint32_t quad) const {
    const uint32_t z1 = z1_ ^ ((query << 16) | quad);
    const uint64_t p2 = uint64_t{kM1} * z1;
    const uint32_t x2 = static_cast<uint32_t>(p2 >> 32) ^ x2_;
    const uint64_t p3 = uint64_t{kM0} * x2;
    Philox4 c{x3_ ^ static_cast<uint32_t>(p2), y3_, static_cast<uint32_t>(p3 >> 32) ^ z3_,
              static_cast<uint32_t>(p3)};
    uint32_t k0 = k0_;
    uint32_t k1 = k1_;
    for (int round = 3; round < 10; ++round) {
      const uint64_t p0 = uint64_t{kM0} * c.x;
      const uint64_t p1 = uint64_t{kM1} * c.z;
      c = Philox4{static_cast<uint32_t>(p1 >> 32) ^ c.y ^ k0, static_cast<uint32_t>(p1),
                  static_cast<uint32_t>(p0 >> 32) ^ c.w ^ k1, static_cast<uint32_t>(p0)};
      k0 += kW0;
      k1 += kW1;
    }
    return c;
  }

 private:
  static constexpr uint32_t kM0 = 0xD2511F53u, kM1 = 0xCD9E8D57u;
  static constexpr uint32_t kW0 = 0x9E3779B9u, kW1 = 0xBB67AE85u;
  QE_HOST_DEVICE static uint32_t high(uint32_t a, uint32_t b) {
    return static_cast<uint32_t>((uint64_t{a} * b) >> 32);
  }
  uint32_t z1_, x2_, x3_, z3_, y3_, k0_, k1_;
};

}  // namespace qe::cuda
