// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/packed_batch.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace qe {
namespace {

// ESM's token dropout: rows of the dropped id are 0, and the others are scaled as they were in its
// training, where 80 % of 15 % of the tokens were.
void append_word_scales(int64_t dropped_id, std::span<const int32_t> ids,
                        std::vector<float>& scales) {
  constexpr float kKeptInTraining = 1.0f - 0.15f * 0.8f;
  const auto n_dropped = std::count(ids.begin(), ids.end(), static_cast<int32_t>(dropped_id));
  const float share = static_cast<float>(n_dropped) / static_cast<float>(ids.size());
  for (const int32_t id : ids) {
    scales.push_back(id == dropped_id ? 0.0f : kKeptInTraining / (1.0f - share));
  }
}

}  // namespace

void PackedBatch::clear() {
  token_ids.clear();
  type_ids.clear();
  position_ids.clear();
  word_scales.clear();
  cu_seqlens.assign(1, 0);
  sample_ids.clear();
  row_samples.clear();
  row_indices.clear();
  label_rows.clear();
  labels.clear();
  label_samples.clear();
  label_indices.clear();
  max_length = 0;
}

void PackedBatch::append(const EncoderConfig& config, uint32_t sample_id,
                         std::span<const int32_t> ids, std::span<const int32_t> types,
                         std::span<const int32_t> labels_of_ids) {
  const int64_t length = static_cast<int64_t>(ids.size());
  QE_CHECK(length > 0, "sample ", sample_id, " has no tokens");
  QE_CHECK(length <= config.max_length(), "sample ", sample_id, " has ", length,
           " tokens; the model has positions for ", config.max_length());
  int64_t next_position = config.position_offset;
  for (int64_t i = 0; i < length; ++i) {
    const int32_t row = static_cast<int32_t>(token_ids.size());
    if (!labels_of_ids.empty() && labels_of_ids[i] != kNoLabel) {
      label_rows.push_back(row);
      labels.push_back(labels_of_ids[i]);
      label_samples.push_back(sample_id);
      label_indices.push_back(static_cast<uint32_t>(i));
    }
    QE_CHECK(ids[i] >= 0 && ids[i] < config.vocab_size, "sample ", sample_id, " has token id ",
             ids[i], ", outside the model's vocabulary of ", config.vocab_size);
    const int32_t type = types.empty() ? 0 : types[i];
    QE_CHECK(config.n_token_types == 0 || (type >= 0 && type < config.n_token_types), "sample ",
             sample_id, " has token type ", type, "; the model has ", config.n_token_types);
    token_ids.push_back(ids[i]);
    type_ids.push_back(type);
    const bool skipped =
        config.position_ids == PositionIds::kSkipPadding && ids[i] == config.pad_token_id;
    position_ids.push_back(static_cast<int32_t>(skipped ? config.pad_token_id : next_position++));
    row_samples.push_back(sample_id);
    row_indices.push_back(static_cast<uint32_t>(i));
  }
  if (config.dropped_token_id >= 0) {
    append_word_scales(config.dropped_token_id, ids, word_scales);
  }
  sample_ids.push_back(sample_id);
  cu_seqlens.push_back(static_cast<int32_t>(token_ids.size()));
  max_length = std::max(max_length, length);
}

BatchView::BatchView(const PackedBatch& batch)
    : token_ids(batch.token_ids),
      type_ids(batch.type_ids),
      position_ids(batch.position_ids),
      word_scales(batch.word_scales),
      cu_seqlens(batch.cu_seqlens),
      sample_ids(batch.sample_ids),
      row_samples(batch.row_samples),
      row_indices(batch.row_indices),
      label_rows(batch.label_rows),
      labels(batch.labels),
      label_samples(batch.label_samples),
      label_indices(batch.label_indices),
      max_length(batch.max_length),
      token_capacity(batch.token_capacity),
      label_capacity(batch.label_capacity) {}

}  // namespace qe
