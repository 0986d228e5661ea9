// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A first configuration for a model, a dataset and a machine: rules of thumb, each with its reason.
// Reads nothing; cmd_init.cpp finds out the facts.

#include <cstdint>
#include <string>
#include <vector>

#include "formats/json.h"

namespace qe::tools {

struct StartingFacts {
  // The model
  int64_t n_parameters = 0;
  int64_t max_length = 512;         ///< tokens of a sequence, by positions and tokenizer
  std::string stored_quantization;  ///< MaskedLm's
  // The data
  std::vector<int64_t> lengths;  ///< tokens of the first rows, special tokens included, ascending
  int64_t n_special = 2;         ///< of a row's tokens
  int64_t n_rows = 0, n_tokens = 0;  ///< of all rows; tokens by the share of the first ones
  bool all_rows = true;              ///< else there are more than were counted
  bool plain_lines = false;          ///< .txt: lines, that may be parts of one text
  bool has_pairs = false, has_ids = false;
  bool own_validation = false;
  // The machine
  bool on_gpu = false;
  int64_t memory_bytes = 0;  ///< free on the device
};

struct Choice {
  std::string key;
  Json value;
  std::string reason;
};

/// In the order of a file that people read. Needs at least one row.
std::vector<Choice> starting_choices(const StartingFacts& facts);

/// Sequences of an update that the choices aim at.
inline constexpr int64_t kStartingBatch = 32;

/// 1, 2 or 5 times a power of ten, the largest that is not above n; n is at least 1.
int64_t round_number(int64_t n);

}  // namespace qe::tools
