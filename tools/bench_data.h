// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// `bench data`: how fast tokenized data become batches.

#include <cstdint>
#include <string>
#include <vector>

#include "formats/json.h"

namespace qe::tools {

struct BenchDataOptions {
  std::string model;       ///< folder: its tokenizer and config.json
  std::string text;        ///< dataset file
  int64_t length = 128;    ///< tokens of a sequence: rows are joined and cut
  int64_t sequences = 32;  ///< of a batch
  int64_t rounds = 5;      ///< timed, each with every way of masking
  int64_t warmup = 1;      ///< rounds before them
};

/// Of the timed rounds.
struct DataRate {
  std::string masking;  ///< "tokens", "words" or "spans"
  double seconds = 0;   ///< median
  double lowest = 0, highest = 0;
  double cpu_seconds = 0;  ///< median, of all threads together
  double label_share = 0;  ///< to predict, of all tokens: special ones never are
};

struct DataReport {
  int64_t n_sequences = 0, n_tokens = 0;  ///< of the data
  int64_t length = 0;
  int64_t n_round_tokens = 0;  ///< of a round: epochs over the data
  std::vector<DataRate> rates;
};

/// Tokenizes the text, then takes batches from mapped tokens, shuffled anew each epoch and masked,
/// as a training run does: made ahead on one thread, taken by another.
DataReport bench_data(const BenchDataOptions& options);

Json to_json(const DataReport& report);
std::string text_of(const DataReport& report);

}  // namespace qe::tools
