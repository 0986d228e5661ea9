// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/packed_batch.h"

#include <algorithm>
#include <numeric>

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

// All values are compared before the first wrong one is looked for: that goes by vectors.
bool inside(std::span<const int32_t> values, int64_t end) {
  bool outside = false;
  const auto limit = static_cast<uint32_t>(end);
  for (const int32_t value : values) outside |= static_cast<uint32_t>(value) >= limit;
  return !outside;
}

int32_t first_outside(std::span<const int32_t> values, int64_t end) {
  return *std::find_if(values.begin(), values.end(),
                       [&](int32_t value) { return value < 0 || value >= end; });
}

void write_positions(const EncoderConfig& config, std::span<const int32_t> ids,
                     int32_t* positions) {
  auto next = static_cast<int32_t>(config.position_offset);
  if (config.position_ids != PositionIds::kSkipPadding) {
    std::iota(positions, positions + ids.size(), next);
    return;
  }
  const auto pad = static_cast<int32_t>(config.pad_token_id);
  for (size_t i = 0; i < ids.size(); ++i) positions[i] = ids[i] == pad ? pad : next++;
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
  QE_CHECK(inside(ids, config.vocab_size), "sample ", sample_id, " has token id ",
           first_outside(ids, config.vocab_size), ", outside the model's vocabulary of ",
           config.vocab_size);
  const int64_t n_types = config.n_token_types;
  QE_CHECK(n_types == 0 || inside(types, n_types), "sample ", sample_id, " has token type ",
           first_outside(types, n_types), "; the model has ", n_types);
  const size_t begin = token_ids.size();
  for (size_t i = 0; i < labels_of_ids.size(); ++i) {
    if (labels_of_ids[i] == kNoLabel) continue;
    label_rows.push_back(static_cast<int32_t>(begin + i));
    labels.push_back(labels_of_ids[i]);
    label_samples.push_back(sample_id);
    label_indices.push_back(static_cast<uint32_t>(i));
  }
  const size_t end = begin + ids.size();
  token_ids.insert(token_ids.end(), ids.begin(), ids.end());
  type_ids.insert(type_ids.end(), types.begin(), types.end());
  type_ids.resize(end, 0);
  row_samples.resize(end, sample_id);
  row_indices.resize(end);
  std::iota(row_indices.begin() + static_cast<ptrdiff_t>(begin), row_indices.end(), 0u);
  position_ids.resize(end);
  write_positions(config, ids, position_ids.data() + begin);
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
