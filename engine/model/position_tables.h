// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What models look up by position or distance and no file holds. The same bits on every machine.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/encoder_config.h"

namespace qe {

/// Angles position * frequency j for j < head_dim / 2, rounded where transformers rounds:
/// (n_positions, head_dim), their cosines and then their sines, times the attention factor.
std::vector<float> rotary_table(int64_t n_positions, int64_t head_dim, const Rotary& rotary);

/// T5's bidirectional bucket (Raffel et al. 2019, arXiv:1910.10683; farthest distance 128) of key -
/// query.
int64_t relative_bucket(int64_t distance, int64_t n_buckets);

/// AttentionShape::relative_bias, (n_heads, 2 reach - 1), from a table (n_buckets, n_heads).
std::vector<float> relative_bias_table(std::span<const float> buckets, int64_t n_buckets,
                                       int64_t n_heads, int64_t reach);

/// The row of the embedding of distances that DeBERTa-v2 takes for query - key, for span = rows
/// / 2.
int64_t distance_row(int64_t distance, int64_t n_rows, int64_t n_buckets, int64_t max_distance);

/// AttentionShape::distance_columns: the rows of distances -(reach - 1) .. reach - 1.
std::vector<int32_t> distance_columns(int64_t reach, int64_t n_rows, int64_t n_buckets,
                                      int64_t max_distance);

/// LayerNorm of each row of x (rows, gamma's size), in place.
void normalize_rows(std::span<float> x, std::span<const float> gamma, std::span<const float> beta,
                    float epsilon);

}  // namespace qe
