// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/mlm_collator.h"

namespace qe {

void MlmCollator::append(const TokenDataset& dataset, int64_t index, uint32_t epoch,
                         PackedBatch& batch) {
  const uint32_t sample = static_cast<uint32_t>(index);
  if (!dataset.labels(index).empty()) {
    batch.append(config_, sample, dataset.ids(index), dataset.type_ids(index),
                 dataset.labels(index));
    return;
  }
  mask(dataset, index, epoch);
  batch.append(config_, sample, ids_, dataset.type_ids(index), labels_);
}

void MlmCollator::mask(const TokenDataset& dataset, int64_t index, uint32_t epoch) {
  const std::span<const int32_t> ids = dataset.ids(index);
  const std::span<const uint8_t> flags = dataset.flags(index);
  const uint32_t chosen = probability_threshold(options_.mlm_probability);
  const uint32_t replaced = probability_threshold(options_.mask_replace_prob);
  const uint32_t replaced_or_random =
      probability_threshold(options_.mask_replace_prob + options_.random_replace_prob);
  ids_.assign(ids.begin(), ids.end());
  labels_.assign(ids.size(), kNoLabel);
  bool drawn = false;  // of the word that the token is of
  for (size_t i = 0; i < ids.size(); ++i) {
    if (flags[i] & kSpecialToken) continue;
    const Philox4 bits = philox4x32(key_, philox_counter(static_cast<uint32_t>(index), epoch, 0, 0,
                                                         static_cast<uint32_t>(i), 0));
    // A piece cut out of joined rows may begin inside a word: with what is there of it.
    const bool follows = i > 0 && (flags[i] & options_.word_flag) != 0;
    if (!follows) drawn = bits.x < chosen;
    if (!drawn) continue;
    labels_[i] = ids[i];
    if (bits.y < replaced) {
      ids_[i] = options_.mask_id;
    } else if (bits.y < replaced_or_random) {
      ids_[i] = static_cast<int32_t>((uint64_t{bits.z} * options_.n_random_ids) >> 32);
    }
  }
}

}  // namespace qe
