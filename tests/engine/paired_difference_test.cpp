// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/paired_difference.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "kernels/core/error.h"
#include "kernels/core/philox.h"

namespace qe {
namespace {

// The same draws with every standard library.
class Random {
 public:
  explicit Random(uint64_t seed) : key_(philox_key(seed, RandomPurpose::kShuffle)) {}
  // In (0, 1).
  double uniform() {
    const Philox4 bits = philox4x32(key_, Philox4{n_drawn_++, 0, 0, 0});
    return (static_cast<double>(bits.x) + 0.5) / 4294967296.0;
  }
  double normal() {  // Box and Muller 1958
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }
  double skewed() { return -std::log(uniform()) - 1.0; }

 private:
  PhiloxKey key_;
  uint32_t n_drawn_ = 0;
};
using Noise = double (Random::*)();  // of mean 0 and variance 1

// Sequences of 1 to 24 labels whose losses differ by `effect` a label and by noise that labels of a
// sequence share in part.
struct Experiment {
  SequenceLosses first, second;
  Experiment(Random& random, int n_sequences, double effect, Noise noise) {
    for (int i = 0; i < n_sequences; ++i) {
      const auto n = 1 + static_cast<int64_t>(24 * random.uniform());
      const double labels = static_cast<double>(n);
      const double base = labels * (1.0 + 5.0 * random.uniform());
      const double shared = 0.3 * labels * (random.*noise)();
      const double own = std::sqrt(labels) * (random.*noise)();
      first.losses.push_back(base);
      second.losses.push_back(base + labels * effect + shared + own);
      first.n_labels.push_back(n);
      second.n_labels.push_back(n);
    }
  }
};

constexpr int kExperiments = 4000;

// Share of experiments whose interval holds the effect.
double coverage(int n_sequences, Noise noise) {
  constexpr double kEffect = -0.07;
  Random random(7);
  int n_held = 0;
  for (int i = 0; i < kExperiments; ++i) {
    const Experiment e(random, n_sequences, kEffect, noise);
    const PairedDifference d = paired_difference(e.first, e.second);
    n_held += d.low <= kEffect && kEffect <= d.high;
  }
  return static_cast<double>(n_held) / kExperiments;
}

}  // namespace

TEST_CASE("paired_difference: quantiles of Student's t as tables have them") {
  for (const auto& [n, t] : {std::pair{1, 12.706205},
                             {2, 4.302653},
                             {3, 3.182446},
                             {4, 2.776445},
                             {5, 2.570582},
                             {10, 2.228139},
                             {30, 2.042272},
                             {1000, 1.962339}}) {
    CAPTURE(n);
    CHECK(student_t_95(n) == doctest::Approx(t).epsilon(2e-4));
  }
}

TEST_CASE("paired_difference: the interval of 95 % holds the truth in 95 % of experiments") {
  // Four standard deviations of a share of 0.95 in so many experiments.
  const double chance = 4 * std::sqrt(0.95 * 0.05 / kExperiments);
  // What a ratio's jackknife is off by: of few sequences, and of skewed differences.
  const auto check = [&](int n, Noise noise, double bias) {
    CAPTURE(n);
    const double share = coverage(n, noise);
    CHECK(share > 0.95 - bias - chance);
    CHECK(share < 0.95 + chance);
  };
  check(5, &Random::normal, 0.01);
  check(12, &Random::normal, 0.01);
  check(50, &Random::normal, 0.0);
  check(400, &Random::normal, 0.0);
  check(50, &Random::skewed, 0.02);
  check(400, &Random::skewed, 0.005);
}

TEST_CASE("paired_difference: the error is that of leaving out every sequence once") {
  Random random(1);
  const Experiment e(random, 9, 0.2, &Random::skewed);
  const PairedDifference d = paired_difference(e.first, e.second);
  std::vector<double> left_out;
  double mean = 0.0;
  for (size_t i = 0; i < 9; ++i) {
    SequenceLosses first = e.first, second = e.second;
    for (SequenceLosses* losses : {&first, &second}) {
      losses->losses.erase(losses->losses.begin() + static_cast<long>(i));
      losses->n_labels.erase(losses->n_labels.begin() + static_cast<long>(i));
    }
    left_out.push_back(paired_difference(first, second).loss);
    mean += left_out.back() / 9.0;
  }
  double variance = 0.0;
  for (const double value : left_out) variance += 8.0 / 9.0 * (value - mean) * (value - mean);
  const double half = student_t_95(8) * std::sqrt(variance);
  CHECK(d.low == doctest::Approx(d.loss - half).epsilon(1e-9));
  CHECK(d.high == doctest::Approx(d.loss + half).epsilon(1e-9));
}

TEST_CASE("paired_difference: nothing, one sequence, the same twice, other labels") {
  Random random(2);
  Experiment e(random, 20, 0.1, &Random::normal);
  const PairedDifference same = paired_difference(e.first, e.first);
  CHECK(same.loss == 0.0);
  CHECK(same.low == 0.0);
  CHECK(same.high == 0.0);
  CHECK_FALSE(same.significant());
  // Sequences without labels say nothing.
  const PairedDifference before = paired_difference(e.first, e.second);
  for (SequenceLosses* losses : {&e.first, &e.second}) {
    losses->losses.push_back(0.0);
    losses->n_labels.push_back(0);
  }
  const PairedDifference after = paired_difference(e.first, e.second);
  CHECK(after.loss == before.loss);
  CHECK(after.low == before.low);

  const PairedDifference one = paired_difference({{2.0, 0.0}, {4, 0}}, {{1.0, 0.0}, {4, 0}});
  CHECK(one.loss == -0.25);
  CHECK(std::isnan(one.low));
  CHECK_FALSE(one.significant());
  CHECK(paired_difference({}, {}).loss == 0.0);
  CHECK_THROWS_AS(paired_difference({{2.0}, {4}}, {{1.0}, {3}}), Error);
}

}  // namespace qe
