// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The one shape of batch: sequences packed one after the other, no padding, no mask.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/encoder_config.h"

namespace qe {

/// B sequences, T tokens in all, M labelled rows. Host memory, filled by append.
struct PackedBatch {
  std::vector<int32_t> token_ids;       ///< (T)
  std::vector<int32_t> type_ids;        ///< (T)
  std::vector<int32_t> position_ids;    ///< (T) rows of the position table
  std::vector<float> word_scales;       ///< (T) factors of the word table's rows, or empty: all 1
  std::vector<int32_t> cu_seqlens{0};   ///< (B + 1)
  std::vector<uint32_t> sample_ids;     ///< (B) global sample index
  std::vector<uint32_t> row_samples;    ///< (T) sample of each row
  std::vector<uint32_t> row_indices;    ///< (T) position inside the sample
  std::vector<int32_t> label_rows;      ///< (M) ascending
  std::vector<int32_t> labels;          ///< (M)
  std::vector<uint32_t> label_samples;  ///< (M) row_samples of the labelled rows
  std::vector<uint32_t> label_indices;  ///< (M) row_indices of the labelled rows
  int64_t max_length = 0;               ///< of the longest sequence

  // What memory was planned for; at least the live counts.
  int64_t token_capacity = 0;
  int64_t label_capacity = 0;

  int64_t n_sequences() const { return static_cast<int64_t>(sample_ids.size()); }
  int64_t n_tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t n_labels() const { return static_cast<int64_t>(labels.size()); }

  void clear();
  /// Adds a sequence. type_ids may be empty (all 0); labels may be empty (none) or hold -100 where
  /// there is none. Throws Error when the sequence is empty or longer than the encoder's positions,
  /// or a token type is none of its.
  void append(const EncoderConfig& config, uint32_t sample_id, std::span<const int32_t> ids,
              std::span<const int32_t> types, std::span<const int32_t> labels_of_ids);
};

constexpr int32_t kNoLabel = -100;

/// A batch where ops can read it: in host memory on the CPU, in a GPU's memory there.
struct BatchView {
  std::span<const int32_t> token_ids;
  std::span<const int32_t> type_ids;
  std::span<const int32_t> position_ids;
  std::span<const float> word_scales;
  std::span<const int32_t> cu_seqlens;
  std::span<const uint32_t> sample_ids;
  std::span<const uint32_t> row_samples;
  std::span<const uint32_t> row_indices;
  std::span<const int32_t> label_rows;
  std::span<const int32_t> labels;
  std::span<const uint32_t> label_samples;
  std::span<const uint32_t> label_indices;
  int64_t max_length = 0;
  int64_t token_capacity = 0;
  int64_t label_capacity = 0;

  BatchView() = default;
  /// The batch itself, in host memory.
  BatchView(const PackedBatch& batch);  // NOLINT: on the CPU a batch is its own view

  int64_t n_sequences() const { return static_cast<int64_t>(sample_ids.size()); }
  int64_t n_tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t n_labels() const { return static_cast<int64_t>(labels.size()); }
};

}  // namespace qe
