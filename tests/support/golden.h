// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Access to golden files and the comparisons that tests of numbers share.

#include <doctest/doctest.h>

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "formats/safetensors.h"

namespace qe::test {

inline std::string golden_path(const std::string& name) {
  return std::string(QE_SOURCE_DIR) + "/tests/golden/" + name;
}

inline std::string example_path(const std::string& name) {
  return std::string(QE_SOURCE_DIR) + "/examples/" + name;
}

/// The values of one tensor of a safetensors file, as fp32.
inline std::vector<float> golden_tensor(const SafetensorsFile& file, const std::string& name) {
  const auto found = file.tensors().find(name);
  REQUIRE_MESSAGE(found != file.tensors().end(), "no golden tensor " << name);
  return found->second.to_f32();
}

/// ||got - expected|| / ||expected||; NaN when any value is NaN.
inline double relative_error(std::span<const float> got, std::span<const float> expected) {
  REQUIRE(got.size() == expected.size());
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < got.size(); ++i) {
    difference += std::pow(static_cast<double>(got[i]) - expected[i], 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return norm > 0.0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

/// The largest |got - expected|; NaN counts as infinite.
inline double max_difference(std::span<const float> got, std::span<const float> expected) {
  REQUIRE(got.size() == expected.size());
  double worst = 0.0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - expected[i]);
    worst = std::isnan(d) ? INFINITY : std::max(worst, d);
  }
  return worst;
}

}  // namespace qe::test
