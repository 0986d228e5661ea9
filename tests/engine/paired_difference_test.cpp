// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/paired_difference.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <random>

#include "kernels/core/error.h"

namespace qe {
namespace {

// Sequences of 1 to 24 labels whose losses differ by `effect` a label and by noise (mean 0) that
// labels of a sequence share in part.
struct Experiment {
  SequenceLosses first, second;
  Experiment(std::mt19937_64& random, int n_sequences, double effect,
             const std::function<double(std::mt19937_64&)>& noise) {
    std::uniform_int_distribution<int> labels(1, 24);
    std::uniform_real_distribution<double> hardness(1.0, 6.0);
    for (int i = 0; i < n_sequences; ++i) {
      const int n = labels(random);
      const double base = n * hardness(random);
      const double shared = 0.3 * n * noise(random), own = std::sqrt(n) * noise(random);
      first.losses.push_back(base);
      second.losses.push_back(base + n * effect + shared + own);
      first.n_labels.push_back(n);
      second.n_labels.push_back(n);
    }
  }
};

double normal(std::mt19937_64& random) { return std::normal_distribution<double>()(random); }
double skewed(std::mt19937_64& random) {
  return std::exponential_distribution<double>()(random) - 1.0;
}

// Share of 4000 experiments whose interval holds the effect.
double coverage(int n_sequences, const std::function<double(std::mt19937_64&)>& noise) {
  constexpr int kExperiments = 4000;
  constexpr double kEffect = -0.07;
  std::mt19937_64 random(7);
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
  // 4000 experiments: a share of 0.95 has a standard error of 0.0034.
  for (const int n : {5, 12, 50, 400}) {
    CAPTURE(n);
    const double share = coverage(n, normal);
    CHECK(share > 0.94);
    CHECK(share < 0.97);
  }
  CHECK(coverage(50, skewed) > 0.92);
  CHECK(coverage(400, skewed) > 0.94);
}

TEST_CASE("paired_difference: the error is that of leaving out every sequence once") {
  std::mt19937_64 random(1);
  const Experiment e(random, 9, 0.2, skewed);
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
  std::mt19937_64 random(2);
  Experiment e(random, 20, 0.1, normal);
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
