// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Multi-head self-attention over packed sequences: softmax(scale * q k^T + bias) v inside each
// sequence, no padding and no mask but a window. FlashAttention's bookkeeping (Dao et al. 2022,
// arXiv:2205.14135): forward keeps the row log-sum-exp only, backward recomputes the probabilities.
// Heads of keys and values may serve several heads of queries each (Ainslie et al. 2023,
// arXiv:2305.13245).

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

struct AttentionShape {
  /// (B + 1), from 0 to T: sequence b holds rows cu_seqlens[b] .. cu_seqlens[b + 1] - 1; may be
  /// empty.
  std::span<const int32_t> cu_seqlens;
  std::span<const uint32_t> sample_ids;  ///< (B) global sample index; read when dropout_p > 0
  int64_t max_length = 0;                ///< at least every sequence's length; sizes the scratch
  int64_t n_heads = 0;                   ///< H, of queries
  int64_t n_kv_heads =
      0;  ///< of keys and values, a divisor of H: query head h reads h / (H / it); 0: H
  int64_t head_dim = 0;  ///< D
  int64_t window = 0;    ///< > 0: query i sees the keys i - window .. i + window; 0: all
  /// (H, 2 R - 1) fp32 with R >= max_length, nullable: what is added to the scaled score of query q
  /// and key k stands in column q - k + R - 1. It is frozen.
  Tensor relative_bias;
  /// What is added to the scaled score of query q and key k, by their distance (DeBERTa's content
  /// to position and position to content terms; He et al. 2020, arXiv:2006.03654): columns h C + c
  /// of row q of query_terms and of row k of key_terms, with c = distance_columns[q - k + R - 1],
  /// for C = n_distance_columns. Both (T, H C) fp32; null together.
  Tensor query_terms, key_terms;
  std::span<const int32_t> distance_columns;  ///< (2 R - 1), R >= max_length, ascending in [0, C)
  int64_t n_distance_columns = 0;
  float scale = 1.0f;
  /// Dropout of the probabilities: word k % 4 of philox(philox_counter(sample, epoch, layer, head,
  /// q, k / 4)) decides for query q and key k, with RandomPurpose::kAttentionDropout.
  float dropout_p = 0.0f;
  uint32_t layer = 0;
  int64_t kv_heads() const { return n_kv_heads > 0 ? n_kv_heads : n_heads; }
};

/// Scratch that forward or backward takes from the context's arena, in bytes. On the CPU it is
/// linear in max_length: max_length * (2 D + 16) floats per thread forward, max_length * (4 D +
/// 128) backward, and small change. On a GPU: nothing forward; backward T * H floats and, with
/// dropout, as many times 1 bit per key of the longest sequence, up to 1024 keys.
size_t attention_workspace_bytes(const Context& ctx, const AttentionShape& shape, int64_t n_tokens,
                                 bool backward);

/// qkv: (T, (H + 2 n_kv_heads) D) of the compute type, row = q | k | v, heads side by side. out:
/// (T, H D). lse:
/// (T, n_heads) fp32, natural log of the sum of exp of the scaled scores.
void attention_forward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                       const Tensor& out, const Tensor& lse);

/// Gradients of query_terms and key_terms, as they are; null without them.
struct AttentionTermGradients {
  Tensor query_terms, key_terms;
};

/// d_qkv: as qkv, overwritten, as d_terms. out and lse are forward's. d_qkv is the share that comes
/// through q k^T and v only.
void attention_backward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                        const Tensor& out, const Tensor& lse, const Tensor& d_out,
                        const Tensor& d_qkv, const AttentionTermGradients& d_terms = {});

}  // namespace qe
