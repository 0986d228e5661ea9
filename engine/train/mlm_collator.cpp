// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/mlm_collator.h"

#include <algorithm>
#include <cmath>

namespace qe {
namespace {

// What random numbers of a sample's masks are for, in the place of a layer and head: see
// philox_counter.
constexpr uint32_t kOfTokens = 0;  // a row is a token
constexpr uint32_t kOfSpans = 1;   // a row is a span, or a place that was masked already

uint32_t below(uint32_t bits, int64_t n) {
  return static_cast<uint32_t>((uint64_t{bits} * static_cast<uint64_t>(n)) >> 32);
}

bool special(uint8_t flags) { return (flags & kSpecialToken) != 0; }

// Words as spans have them.
class Words {
 public:
  Words(std::span<const uint8_t> flags, uint8_t word_flag) : flags_(flags), flag_(word_flag) {}

  // The first token of the word that token i is of.
  size_t begin(size_t i) const {
    size_t first = i;
    while (goes_on(first) && i - first < kMaxSpannedWord) --first;
    return is_long(first) ? i : first;
  }
  // Behind the last token of the word that begins at i.
  size_t end(size_t i) const { return is_long(i) ? i + 1 : stop(i); }

 private:
  // A sample may begin inside a word: with what is there of it.
  bool goes_on(size_t i) const { return i > 0 && (flags_[i] & flag_) != 0; }
  size_t stop(size_t i) const {
    size_t last = i + 1;
    while (last < flags_.size() && goes_on(last) && last - i <= kMaxSpannedWord) ++last;
    return last;
  }
  bool is_long(size_t i) const { return goes_on(i) || stop(i) - i > kMaxSpannedWord; }

  std::span<const uint8_t> flags_;
  uint8_t flag_;
};

// Lengths are 1 .. max with probabilities (1 - p)^(k - 1) p, scaled to sum to 1.
std::vector<uint32_t> limits_of_spans(double p, int64_t max) {
  std::vector<double> sums;
  double sum = 0.0, share = p;
  for (int64_t k = 0; k < max; ++k, share *= 1.0 - p) sums.push_back(sum += share);
  std::vector<uint32_t> limits;
  for (int64_t k = 0; k + 1 < max; ++k) limits.push_back(probability_threshold(sums[k] / sum));
  return limits;
}

}  // namespace

MlmCollator::MlmCollator(const EncoderConfig& config, const MaskOptions& options, PhiloxKey key)
    : config_(config),
      options_(options),
      key_(key),
      replaced_(probability_threshold(options.mask_replace_prob)),
      replaced_or_random_(
          probability_threshold(options.mask_replace_prob + options.random_replace_prob)),
      span_limits_(limits_of_spans(options.span_geometric_p, options.span_max_words)) {}

void MlmCollator::append(const TokenDataset& dataset, int64_t index, uint32_t epoch,
                         PackedBatch& batch) {
  const uint32_t sample = static_cast<uint32_t>(index);
  const std::span<const int32_t> ids = dataset.ids(index);
  const std::span<const int32_t> given = dataset.labels(index);
  if (!given.empty()) {
    batch.append(config_, sample, ids, dataset.type_ids(index), given);
    return;
  }
  ids_.assign(ids.begin(), ids.end());
  labels_.assign(ids.size(), kNoLabel);
  const Masked masked{ids, dataset.flags(index), sample, epoch};
  options_.unit == MaskUnit::kSpan ? mask_spans(masked) : mask_units(masked);
  batch.append(config_, sample, ids_, dataset.type_ids(index), labels_);
}

void MlmCollator::mask_units(const Masked& masked) {
  const uint32_t chosen = probability_threshold(options_.mlm_probability);
  const uint8_t word_flag = options_.unit == MaskUnit::kWord ? options_.word_flag : uint8_t{0};
  // Draws of a few tokens at a time do not wait for each other, nor for what follows from them.
  constexpr size_t kBlock = 16;
  Philox4 draws[kBlock];
  bool drawn = false;  // of the word that the token is of
  const size_t n = masked.ids.size();
  for (size_t begin = 0; begin < n; begin += kBlock) {
    for (size_t k = 0; k < kBlock; ++k)
      draws[k] = philox4x32(key_, philox_counter(masked.sample, masked.epoch, kOfTokens, 0,
                                                 static_cast<uint32_t>(begin + k), 0));
    for (size_t i = begin; i < std::min(n, begin + kBlock); ++i) {
      if (special(masked.flags[i])) continue;
      // A piece cut out of joined rows may begin inside a word: with what is there of it.
      const bool follows = i > 0 && (masked.flags[i] & word_flag) != 0;
      const Philox4& bits = draws[i - begin];
      if (!follows) drawn = bits.x < chosen;
      if (drawn) predict(masked, i, bits.y, bits.z);
    }
  }
}

void MlmCollator::mask_spans(const Masked& masked) {
  const size_t n = masked.ids.size();
  const auto n_special = std::count_if(masked.flags.begin(), masked.flags.end(), special);
  const double n_open = static_cast<double>(static_cast<int64_t>(n) - n_special);
  auto n_left = static_cast<int64_t>(std::ceil(n_open * options_.mlm_probability));
  const Words words(masked.flags, options_.word_flag);
  for (uint32_t draw = 0; n_left > 0; ++draw) {
    const Philox4 bits = philox4x32(key_, Philox4{masked.sample, masked.epoch, kOfSpans, draw});
    const size_t anchor = below(bits.y, static_cast<int64_t>(n));
    if (special(masked.flags[anchor]) || labels_[anchor] != kNoLabel) continue;
    const auto n_shorter =
        std::upper_bound(span_limits_.begin(), span_limits_.end(), bits.x) - span_limits_.begin();
    size_t i = words.begin(anchor);
    for (int64_t word = 0; word <= n_shorter && i < n && !special(masked.flags[i]); ++word) {
      for (const size_t end = words.end(i); i < end; ++i) {
        if (n_left == 0) return;
        if (labels_[i] != kNoLabel) continue;
        const Philox4 of_token = philox4x32(
            key_,
            philox_counter(masked.sample, masked.epoch, kOfTokens, 0, static_cast<uint32_t>(i), 0));
        predict(masked, i, bits.z, of_token.z);
        --n_left;
      }
    }
  }
}

// Token i is to be predicted, from what the two draws put in its place.
void MlmCollator::predict(const Masked& masked, size_t i, uint32_t replacement, uint32_t random) {
  labels_[i] = masked.ids[i];
  if (replacement < replaced_) {
    ids_[i] = options_.mask_id;
  } else if (replacement < replaced_or_random_) {
    ids_[i] = static_cast<int32_t>(below(random, options_.n_random_ids));
  }
}

}  // namespace qe
