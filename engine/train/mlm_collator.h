// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Dynamic masking (Devlin et al. 2018, arXiv:1810.04805, section 3.1; RoBERTa's dynamic form) and
// packing. Masks are a pure function of seed, epoch and sample.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/packed_batch.h"
#include "engine/train/token_dataset.h"
#include "kernels/core/philox.h"

namespace qe {

struct MaskOptions {
  double mlm_probability = 0.15;     ///< share of tokens to predict
  double mask_replace_prob = 0.8;    ///< of those: replaced by the mask token
  double random_replace_prob = 0.1;  ///< of those: replaced by a random token
  /// 0: every token is drawn by itself. kInsideWord or kTouchesPrevious: whole words are; the draw
  /// is that of the word's first token, and tokens that have this flag follow it.
  uint8_t word_flag = 0;
  int32_t mask_id = 0;
  int64_t n_random_ids = 0;  ///< random tokens come from [0, n_random_ids): len(tokenizer)
};

/// Turns samples into packed batches. Not thread-safe (keeps scratch).
class MlmCollator {
 public:
  /// key: philox_key(seed, kMask) for training, kEvalMask for evaluation.
  MlmCollator(const EncoderConfig& config, const MaskOptions& options, PhiloxKey key)
      : config_(config), options_(options), key_(key) {}

  /// Appends sample `index` of the dataset as it is seen in `epoch`. Samples that have labels keep
  /// them and are not masked.
  void append(const TokenDataset& dataset, int64_t index, uint32_t epoch, PackedBatch& batch);

 private:
  void mask(const TokenDataset& dataset, int64_t index, uint32_t epoch);

  EncoderConfig config_;
  MaskOptions options_;
  PhiloxKey key_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> labels_;
};

}  // namespace qe
