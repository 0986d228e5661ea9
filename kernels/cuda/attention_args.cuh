// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What all attention kernels take, and how their thread blocks find their work.

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/core/context.h"
#include "kernels/core/step_state.h"
#include "kernels/cuda/attention_draw.h"

namespace qe::cuda {

/// Elements are of the compute type; strides are in elements. Pointers are device memory.
struct AttentionArgs {
  const int32_t* cu_seqlens;   // (B + 1)
  const uint32_t* sample_ids;  // (B), with dropout
  const StepState* step;       // with dropout
  int n_sequences;             // B
  int n_heads;                 // H
  int n_kv_heads;              // heads of keys and values; H for the tensor-core kernels
  int head_dim;                // D
  float scale;                 // > 0
  int window;                  // 0: none; the tensor-core kernels know none
  const float* relative_bias;  // (H, ...) at the column of distance 0; null, too, for those
  int64_t bias_stride;
  const float *query_terms, *key_terms;  // (T, H n_distance_columns), null for those, too
  int64_t query_terms_stride, key_terms_stride;
  const int32_t* distance_columns;  // at distance 0
  int n_distance_columns;
  bool dropout;
  uint32_t layer;
  uint32_t threshold;  // a probability is dropped when its word is below
  float keep_scale;    // 1 / (1 - p)
  const void* qkv;     // (T, (H + 2 n_kv_heads) D)
  int64_t qkv_stride;
  void* out;  // (T, H D)
  int64_t out_stride;
  float* lse;  // (T, H)
  int64_t lse_stride;
  // Backward.
  const void* d_out;  // (T, H D)
  int64_t d_out_stride;
  void* d_qkv;  // as qkv
  int64_t d_qkv_stride;
  float *d_query_terms, *d_key_terms;  // as the terms, zero before
  int64_t d_query_terms_stride, d_key_terms_stride;
  float* row_dots;  // (T, H) dense: (1 - p) * sum of d_out * out, made by the pass over queries
  /// Which probabilities were dropped, bit key % 32 of word (head, key / 32, row of the query):
  /// (H, drop_words, T), made by the pass over queries for the pass over keys. Null: it draws
  /// again.
  uint32_t* drops;
  int64_t drop_words, n_tokens;
  /// Sequences up to this length are left to the pass that makes all three gradients.
  int short_length;
};

/// A block of rows of one sequence.
struct SequenceBlock {
  int sequence;
  int first_row;  // of the sequence, in the batch
  int length;     // of the sequence
  int begin;      // of the block, in the sequence
};

/// Blocks of kRows rows over B sequences, whose lengths only the device knows: sequence b owns the
/// slots from floor(cu_seqlens[b] / kRows) + b on. These are at least as many as it needs, at most
/// one more, and in total attention_slots(T, B, kRows). The host needs no lengths, nobody writes a
/// list, and one very long sequence among many short ones costs no empty blocks.
inline int64_t attention_slots(int64_t n_tokens, int64_t n_sequences, int64_t rows) {
  return n_tokens / rows + n_sequences;
}

/// The block of a slot; .begin >= .length when the slot is spare. A search by 32 lanes at once: one
/// round of loads for up to 32 sequences, two for up to 1024. Called by whole warps.
template <int kRows>
__device__ inline SequenceBlock find_block(const AttentionArgs& args, int slot) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int low = 0;
  int high = args.n_sequences;  // first_slot(low) <= slot < first_slot(high)
  while (high - low > 1) {
    const int step = (high - low + 31) / 32;
    const int probe = low + lane * step;
    const bool before = probe < high && args.cu_seqlens[probe] / kRows + probe <= slot;
    low += (__popc(__ballot_sync(0xffffffffu, before)) - 1) * step;
    high = min(high, low + step);
  }
  const int first_row = args.cu_seqlens[low];
  const int length = args.cu_seqlens[low + 1] - first_row;
  return {low, first_row, length, (slot - first_row / kRows - low) * kRows};
}

/// The value of lane 0, which all lanes have: said so that the compiler keeps it, and what is made
/// of it, in uniform registers.
__device__ inline uint32_t uniform(uint32_t x) { return __shfl_sync(0xffffffffu, x, 0); }

/// The draw of a (sequence, head), seed and epoch read from the device's StepState. Called by whole
/// warps.
__device__ inline AttentionDraw attention_draw(const AttentionArgs& args, int sequence, int head) {
  const PhiloxKey key = philox_key(args.step->seed, RandomPurpose::kAttentionDropout);
  return AttentionDraw({uniform(key.k0), uniform(key.k1)}, uniform(args.sample_ids[sequence]),
                       uniform(args.step->epoch), args.layer, uniform(static_cast<uint32_t>(head)));
}

}  // namespace qe::cuda
