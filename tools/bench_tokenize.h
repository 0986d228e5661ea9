// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// `bench tokenize`: how fast texts become ids.

#include <cstdint>
#include <string>
#include <vector>

#include "formats/json.h"

namespace qe::tools {

struct BenchTokenizeOptions {
  std::string model;   ///< folder
  std::string text;    ///< dataset file; a row is a text
  int threads = 0;     ///< measured beside one thread; 0 = all
  int64_t rounds = 5;  ///< timed, each with one thread and then with all
  int64_t warmup = 1;  ///< rounds before them
};

/// Of the timed rounds: medians, and the fastest and slowest.
struct TokenizeRate {
  int threads = 1;
  double seconds = 0, lowest = 0, highest = 0;
  double cpu_seconds = 0;  ///< of all threads together
};

struct TokenizeReport {
  int64_t n_texts = 0, n_bytes = 0, n_tokens = 0;
  std::vector<TokenizeRate> rates;  ///< one thread; then all, if there are more
  /// Seconds of one thread over those of all, in the same round.
  double speedup = 1, lowest_speedup = 1, highest_speedup = 1;
};

/// Encodes all texts with special tokens, offsets and word ids, and holds all encodings. The next
/// round uses their memory again.
TokenizeReport bench_tokenize(const BenchTokenizeOptions& options);

Json to_json(const TokenizeReport& report);
std::string text_of(const TokenizeReport& report);

}  // namespace qe::tools
