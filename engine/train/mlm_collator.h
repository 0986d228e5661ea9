// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Dynamic masking and packing. Masks are a pure function of seed, epoch, sample and the rate:
// - single tokens (Devlin et al. 2018, arXiv:1810.04805, section 3.1; RoBERTa's dynamic form);
// - whole words: a word is drawn by its first token;
// - spans (SpanBERT, Joshi et al. 2020, arXiv:1907.10529, section 3.1): until the share of tokens
//   to predict is reached, a span begins at the word of a token drawn from those that are left,
//   and goes on for a geometric number of words. The last one ends where the share is reached.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/packed_batch.h"
#include "engine/train/token_dataset.h"
#include "kernels/core/philox.h"

namespace qe {

enum class MaskUnit {
  kToken,
  kWord,
  kSpan,
};

struct MaskOptions {
  double mlm_probability = 0.15;     ///< share of tokens to predict
  double mask_replace_prob = 0.8;    ///< of those: replaced by the mask token
  double random_replace_prob = 0.1;  ///< of those: replaced by a random token
  MaskUnit unit = MaskUnit::kToken;
  /// Tokens with this flag are of the word before: kInsideWord or kTouchesPrevious. Spans count the
  /// tokens of longer words than kMaxSpannedWord as words: in texts without spaces, or with a
  /// tokenizer that does not look for words.
  uint8_t word_flag = kInsideWord;
  double span_geometric_p = 0.2;  ///< a span ends after each word with this probability
  int64_t span_max_words = 10;    ///< lengths up to this only, their probabilities scaled up
  int32_t mask_id = 0;
  int64_t n_random_ids = 0;  ///< random tokens come from [0, n_random_ids): len(tokenizer)
};

/// Tokens.
inline constexpr size_t kMaxSpannedWord = 10;

/// Turns samples into packed batches. Not thread-safe (keeps scratch).
class MlmCollator {
 public:
  /// key: philox_key(seed, kMask) for training, kEvalMask for evaluation.
  MlmCollator(const EncoderConfig& config, const MaskOptions& options, PhiloxKey key);

  /// Share of tokens to predict, from now on. What a lower one masks, a higher one masks, too.
  void set_mlm_probability(double probability) { options_.mlm_probability = probability; }

  /// Appends sample `index` of the dataset as it is seen in `epoch`. Samples that have labels keep
  /// them and are not masked.
  void append(const TokenDataset& dataset, int64_t index, uint32_t epoch, PackedBatch& batch);

 private:
  /// A sample, being masked into ids_ and labels_.
  struct Masked {
    std::span<const int32_t> ids;
    std::span<const uint8_t> flags;
    uint32_t sample;
    uint32_t epoch;
  };
  void mask_units(const Masked& masked);
  void mask_spans(const Masked& masked);
  void predict(const Masked& masked, size_t i, uint32_t replacement, uint32_t random);

  EncoderConfig config_;
  MaskOptions options_;
  PhiloxKey key_;
  uint32_t replaced_;            // below: by the mask token
  uint32_t replaced_or_random_;  // below: or by a random one
  /// A span has one word more than there are limits not above a draw.
  std::vector<uint32_t> span_limits_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> labels_;
};

}  // namespace qe
