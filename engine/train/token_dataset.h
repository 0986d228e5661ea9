// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A tokenized dataset: the samples that training and evaluation index by number. They lie in shards
// of mapped files, so their memory is the system's to give and take.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/token_shard.h"
#include "formats/tokenizer/tokenizer.h"

namespace qe {

/// What masking must know of a token, in one byte.
enum TokenFlag : uint8_t {
  kSpecialToken = 1,     ///< is to be left alone
  kInsideWord = 2,       ///< of the same pre-tokenizer word as the token before
  kTouchesPrevious = 4,  ///< begins where the token before ends: of one word for transformers
};
/// Appends the flags of an encoded row. What follows a special token begins a word.
void append_token_flags(const Encoding& encoding, std::vector<uint8_t>& flags);

/// Samples of several shards, in their order. A sample's index is its global sample id.
class TokenDataset {
 public:
  TokenDataset() = default;
  /// Error when there are more samples than sample ids (2^32).
  explicit TokenDataset(std::vector<TokenShard> shards);

  int64_t size() const { return firsts_.back(); }
  int64_t n_tokens() const { return n_tokens_; }
  int64_t max_length() const { return max_length_; }
  int64_t min_length() const { return min_length_; }  ///< 0: no sample

  std::span<const int32_t> ids(int64_t sample) const {
    const Place at = locate(sample);
    return at.shard->ids(at.sample);
  }
  /// Empty when all are 0.
  std::span<const int32_t> type_ids(int64_t sample) const {
    const Place at = locate(sample);
    return at.shard->type_ids(at.sample);
  }
  /// TokenFlags.
  std::span<const uint8_t> flags(int64_t sample) const {
    const Place at = locate(sample);
    return at.shard->flags(at.sample);
  }
  /// Given labels (kNoLabel where there is none); empty when this sample is to be masked.
  std::span<const int32_t> labels(int64_t sample) const {
    const Place at = locate(sample);
    return at.shard->labels(at.sample);
  }
  /// Content hash of all samples.
  const std::string& hash() const { return hash_; }

 private:
  struct Place {
    const TokenShard* shard;
    int64_t sample;  // in the shard
  };
  Place locate(int64_t sample) const;

  std::vector<TokenShard> shards_;
  std::vector<int64_t> firsts_{0};  // sample of each shard; then the number of samples
  int64_t n_tokens_ = 0;
  int64_t max_length_ = 0;
  int64_t min_length_ = 0;
  std::string hash_;
};

}  // namespace qe
