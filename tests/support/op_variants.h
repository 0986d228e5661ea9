// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Comparing an op with its float64 reference, and with itself on other threads and instruction
// sets.

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/cpu/isa.h"
#include "tests/support/op_context.h"

namespace qe::test {

using Doubles = std::vector<double>;

/// Row by row.
inline Doubles doubles(const Matrix& m) {
  Doubles out;
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < m.cols(); ++j) out.push_back(static_cast<double>(m.at(i, j)));
  }
  return out;
}

/// ||found - expected|| / ||expected||; infinity when an element is NaN.
inline double relative_error(const Doubles& found, const Doubles& expected) {
  REQUIRE(found.size() == expected.size());
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    difference += (found[i] - expected[i]) * (found[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
  return difference == 0.0 ? 0.0 : std::sqrt(difference / size);
}
inline double relative_error(const Matrix& found, const Doubles& expected) {
  CHECK(found.guards_intact());
  return relative_error(doubles(found), expected);
}

/// Elements whose bits differ; of matrices of one shape.
inline int64_t count_different(const Matrix& a, const Matrix& b) {
  const std::vector<uint32_t> x = a.bits(), y = b.bits();
  int64_t different = 0;
  for (size_t i = 0; i < x.size(); ++i) different += x[i] != y[i];
  return different;
}

/// Appends the bits of `more` to `all`.
inline void append_bits(std::vector<uint32_t>& all, const Matrix& more) {
  CHECK(more.guards_intact());
  const std::vector<uint32_t> bits = more.bits();
  all.insert(all.end(), bits.begin(), bits.end());
}

/// Every instruction set of this machine times 1, 2 and 4 threads: `run(n_threads)` must return the
/// same bits each time, and the forced instruction set must be the one that runs. On a GPU: three
/// runs.
inline void check_same_everywhere(const std::function<std::vector<uint32_t>(int n_threads)>& run) {
  std::vector<uint32_t> first;
  if (on_gpu()) {
    first = run(1);
    CHECK_FALSE(first.empty());
    for (int i = 0; i < 2; ++i) CHECK(run(1) == first);
    return;
  }
  for (const cpu::Isa isa :
       {cpu::Isa::kScalar, cpu::Isa::kAvx2, cpu::Isa::kAvx512, cpu::Isa::kNeon}) {
    if (!cpu::isa_supported(isa)) continue;
    const cpu::ScopedIsa forced(isa);
    REQUIRE(cpu::running_isa_name() == cpu::isa_name(isa));
    for (const int n_threads : {1, 2, 4}) {
      const std::vector<uint32_t> bits = run(n_threads);
      if (first.empty()) first = bits;
      INFO("instruction set ", std::string(cpu::isa_name(isa)), ", threads ", n_threads);
      CHECK(bits == first);
    }
  }
  CHECK_FALSE(first.empty());
}

/// The message of the Error that `body` throws; "" when it throws none.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace qe::test
