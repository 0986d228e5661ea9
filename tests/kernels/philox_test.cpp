// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/philox.h"

#include <doctest/doctest.h>

#include <set>

#include "kernels/cuda/attention_draw.h"

namespace qe {

TEST_CASE("philox: known answers of the reference implementation (Random123 kat_vectors)") {
  const auto check = [](PhiloxKey key, Philox4 counter, Philox4 want) {
    const Philox4 got = philox4x32(key, counter);
    CHECK(got.x == want.x);
    CHECK(got.y == want.y);
    CHECK(got.z == want.z);
    CHECK(got.w == want.w);
  };
  check({0, 0}, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check({0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: keys are splitmix64's words after the first (Vigna's, seed 1234567)") {
  constexpr PhiloxKey kShuffled = philox_key(1234567, RandomPurpose::kShuffle);
  CHECK((uint64_t{kShuffled.k1} << 32 | kShuffled.k0) == 3203168211198807973ull);
  constexpr PhiloxKey kMasked = philox_key(1234567, RandomPurpose::kMask);
  CHECK((uint64_t{kMasked.k1} << 32 | kMasked.k0) == 9817491932198370423ull);
}

TEST_CASE("philox: keys and counters keep every coordinate apart") {
  std::set<uint64_t> keys;
  for (uint64_t seed : {0ull, 1ull, 42ull, ~0ull}) {
    for (uint32_t purpose = 1; purpose <= 8; ++purpose) {
      const PhiloxKey key = philox_key(seed, static_cast<RandomPurpose>(purpose));
      keys.insert(uint64_t{key.k0} << 32 | key.k1);
    }
  }
  CHECK(keys.size() == 32);

  const Philox4 c = philox_counter(1, 2, 3, 4, 5, 6);
  CHECK(c.x == 1);
  CHECK(c.y == 2);
  CHECK(c.z == (3u << 16 | 4u));
  CHECK(c.w == (5u << 16 | 6u));
}

TEST_CASE("philox: unit floats and thresholds") {
  CHECK(unit_float(0) == 0.0f);
  CHECK(unit_float(0xffffffffu) == 1.0f - 0x1p-24f);
  CHECK(unit_float(0x80000000u) == 0.5f);
  CHECK(probability_threshold(0.0) == 0);
  CHECK(probability_threshold(-1.0) == 0);
  CHECK(probability_threshold(0.5) == 0x80000000u);
  CHECK(probability_threshold(1.0) == 0xffffffffu);
  int dropped = 0;
  constexpr int kDraws = 100000;
  const PhiloxKey key = philox_key(7, RandomPurpose::kHiddenDropout);
  for (uint32_t i = 0; i < kDraws; ++i) {
    dropped += philox4x32(key, philox_counter(i, 0, 0, 0, 0, 0)).y < probability_threshold(0.1);
  }
  // Six standard deviations of a binomial: 6 * sqrt(n p (1 - p)) = 569.
  CHECK(dropped > 10000 - 569);
  CHECK(dropped < 10000 + 569);
}

TEST_CASE("philox: attention's shortened rounds on GPUs give the same words") {
  auto random = [at = uint32_t{0}](uint32_t mask) mutable {
    return philox4x32({1, 2}, {at++, 0, 0, 0}).x & mask;
  };
  for (int i = 0; i < 1000; ++i) {
    const PhiloxKey key{random(~0u), random(~0u)};
    const uint32_t sample = random(~0u), epoch = random(~0u);
    const uint32_t layer = random(0xffff), head = random(0xffff);
    const uint32_t query = random(0xffff), quad = random(0xffff);
    const Philox4 want = philox4x32(key, philox_counter(sample, epoch, layer, head, query, quad));
    const Philox4 got = cuda::AttentionDraw(key, sample, epoch, layer, head)(query, quad);
    CHECK(got.x == want.x);
    CHECK(got.y == want.y);
    CHECK(got.z == want.z);
    CHECK(got.w == want.w);
  }
}

}  // namespace qe
