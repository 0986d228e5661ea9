// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Tokenized samples for tests of what becomes of them, and masks for them.

#include <vector>

#include "engine/train/mlm_collator.h"
#include "engine/train/token_dataset.h"
#include "formats/tokenizer/tokenizer.h"
#include "tests/support/golden.h"

namespace qe {

inline EncoderConfig config_of_tiny() {
  return read_encoder_config(test::example_path("tiny-mlm"));
}
inline Tokenizer tokenizer_of_tiny() { return Tokenizer::load(test::example_path("tiny-mlm")); }

inline TokenDataset dataset_of(const TokenShardBuilder& samples) {
  return TokenDataset({samples.shard()});
}

/// Samples of `length` tokens, all of them 100 + their number; the outer ones are special.
inline TokenDataset numbered(int64_t n_samples, int64_t length) {
  TokenShardBuilder dataset;
  for (int64_t s = 0; s < n_samples; ++s) {
    std::vector<int32_t> ids(length, static_cast<int32_t>(100 + s));
    std::vector<uint8_t> special(length, 0);
    special.front() = special.back() = 1;
    dataset.add(ids, {}, special, {});
  }
  return dataset_of(dataset);
}

inline MlmCollator collator(const MaskOptions& options, uint64_t seed = 1) {
  return MlmCollator(config_of_tiny(), options, philox_key(seed, RandomPurpose::kMask));
}

inline const MaskOptions kMask{.mask_id = 4, .n_random_ids = 8192};

}  // namespace qe
