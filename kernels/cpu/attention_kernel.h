// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Self-attention of one head of one sequence as raw pointers, and the scratch it needs.

#include <cstdint>

#include "kernels/core/philox.h"
#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// What all heads and sequences of a call share.
struct AttentionTensors {
  const float* qkv;  ///< (T, (H + 2 n_kv_heads) D)
  int64_t qkv_stride;
  float* out;  ///< (T, C); read by backward
  int64_t out_stride;
  float* lse;  ///< (T, H); read by backward
  int64_t lse_stride;
  const float* d_out;  ///< (T, C); backward only, as d_qkv
  int64_t d_out_stride;
  float* d_qkv;  ///< as qkv
  int64_t d_qkv_stride;
  int64_t n_heads;
  int64_t n_kv_heads;
  int64_t head_dim;
  float scale;
  int64_t window;              ///< 0: none
  const float* relative_bias;  ///< (H, ...) nullable, at the column of distance 0
  int64_t bias_stride;
  const float* query_terms;  ///< (T, H n_distance_columns) nullable; as are the next ones
  int64_t query_terms_stride;
  const float* key_terms;
  int64_t key_terms_stride;
  const int32_t* distance_columns;  ///< at distance 0
  int64_t n_distance_columns;
  float* d_query_terms;  ///< backward
  int64_t d_query_terms_stride;
  float* d_key_terms;
  int64_t d_key_terms_stride;
  bool dropout;  ///< the rest is read only then
  PhiloxKey key;
  uint32_t epoch;
  uint32_t layer;
  uint32_t threshold;
  float keep_scale;
};

/// One head of one sequence.
struct AttentionHead {
  int64_t first_row;  ///< of the sequence, in the packed batch
  int64_t length;     ///< tokens
  int64_t head;
  uint32_t sample;
};

/// Queries of one forward task: enough to pay for packing the keys and values.
constexpr int64_t kAttentionForwardQueries = 128;
/// Queries of one round of backward: as many terms of each dK and dV chain per visit to memory.
constexpr int64_t kAttentionBackwardQueries = 64;

constexpr int64_t attention_padded_dim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

/// Floats of scratch of one attention_forward_queries call: keys, values, one strip of 16 queries
/// transposed, its scores and its output.
constexpr int64_t attention_forward_scratch(int64_t max_length, int64_t head_dim) {
  const int64_t dim = attention_padded_dim(head_dim);
  return max_length * (2 * dim + 16) + 2 * 16 * dim;
}
/// Floats of scratch of one attention_backward_head call: keys, values and their gradients, two
/// blocks of scores, three blocks of query rows, three transposed strips.
constexpr int64_t attention_backward_scratch(int64_t max_length, int64_t head_dim) {
  const int64_t dim = attention_padded_dim(head_dim);
  return max_length * (4 * dim + 2 * kAttentionBackwardQueries) +
         3 * kAttentionBackwardQueries * dim + 3 * 16 * dim;
}

QE_PER_ISA(
    /// out and lse of queries [begin, end) of the head; end - begin <= kAttentionForwardQueries.
    void attention_forward_queries(const AttentionTensors& tensors, const AttentionHead& head,
                                   int64_t begin, int64_t end, float* scratch);
    /// d_qkv of a head of keys and values and of the heads of queries that read it.
    void attention_backward_head(const AttentionTensors& tensors, const AttentionHead& head,
                                 float* scratch);)

}  // namespace qe::cpu
