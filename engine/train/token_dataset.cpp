// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/token_dataset.h"

#include <algorithm>

#include "formats/hash.h"
#include "kernels/core/error.h"

namespace qe {

void append_token_flags(const Encoding& encoding, std::vector<uint8_t>& flags) {
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    uint8_t flag = encoding.special_tokens_mask[i] ? kSpecialToken : 0;
    if (flag == 0 && i > 0 && encoding.special_tokens_mask[i - 1] == 0) {
      if (encoding.word_ids[i] == encoding.word_ids[i - 1]) flag |= kInsideWord;
      if (encoding.offsets[i].first == encoding.offsets[i - 1].second) flag |= kTouchesPrevious;
    }
    flags.push_back(flag);
  }
}

TokenDataset::TokenDataset(std::vector<TokenShard> shards) : shards_(std::move(shards)) {
  std::string hashes;
  for (const TokenShard& shard : shards_) {
    firsts_.push_back(firsts_.back() + shard.size());
    n_tokens_ += shard.n_tokens();
    max_length_ = std::max(max_length_, shard.max_length());
    if (shard.size() > 0) {
      const int64_t shortest = shard.min_length();
      min_length_ = min_length_ == 0 ? shortest : std::min(min_length_, shortest);
    }
    hashes += shard.hash();
  }
  QE_CHECK(size() <= int64_t{UINT32_MAX}, "a dataset of ", size(), " samples: expected at most ",
           UINT32_MAX);
  hash_ = hash_bytes(std::as_bytes(std::span(hashes)));
}

TokenDataset::Place TokenDataset::locate(int64_t sample) const {
  const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), sample);
  const auto k = static_cast<size_t>(after - firsts_.begin() - 1);
  return {&shards_[k], sample - firsts_[k]};
}

}  // namespace qe
