// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// The tasks of attention. Forward: (sequence, block of queries, head). Backward: (sequence, head of
// keys and values), because dK and dV sum over all queries of the sequence, in ascending order and
// without races.

#include "kernels/cpu/attention.h"

#include "kernels/cpu/attention_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

constexpr int64_t kAlignFloats = Arena::kAlignment / sizeof(float);

// Floats of one thread's scratch, a whole number of cache lines.
int64_t thread_floats(const AttentionShape& shape, bool backward) {
  const int64_t n = backward ? attention_backward_scratch(shape.max_length, shape.head_dim)
                             : attention_forward_scratch(shape.max_length, shape.head_dim);
  return (n + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
}

// Workspace: the threads' scratch, then (B + 1) prefix counts of query blocks.
struct Workspace {
  float* scratch;
  int64_t thread_stride;
  int64_t* first_block;

  Workspace(const Context& ctx, const AttentionShape& shape, bool backward, void* memory)
      : scratch(static_cast<float*>(memory)),
        thread_stride(thread_floats(shape, backward)),
        first_block(
            reinterpret_cast<int64_t*>(scratch + ctx.threads->n_threads() * thread_stride)) {}
};

AttentionTensors tensors_of(const Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                            const Tensor& out, const Tensor& lse) {
  AttentionTensors t{};
  t.qkv = qkv.f32();
  t.qkv_stride = qkv.stride;
  t.out = out.f32();
  t.out_stride = out.stride;
  t.lse = lse.f32();
  t.lse_stride = lse.stride;
  t.n_heads = shape.n_heads;
  t.n_kv_heads = shape.kv_heads();
  t.head_dim = shape.head_dim;
  t.scale = shape.scale;
  t.window = shape.window;
  if (const Tensor& bias = shape.relative_bias; bias) {
    t.relative_bias = bias.f32() + bias.cols / 2;
    t.bias_stride = bias.stride;
  }
  if (shape.query_terms) {
    t.query_terms = shape.query_terms.f32();
    t.query_terms_stride = shape.query_terms.stride;
    t.key_terms = shape.key_terms.f32();
    t.key_terms_stride = shape.key_terms.stride;
    t.distance_columns = shape.distance_columns.data() + shape.distance_columns.size() / 2;
    t.n_distance_columns = shape.n_distance_columns;
  }
  t.dropout = shape.dropout_p > 0.0f;
  if (!t.dropout) return t;
  t.key = philox_key(ctx.step->seed, RandomPurpose::kAttentionDropout);
  t.epoch = ctx.step->epoch;
  t.layer = shape.layer;
  t.threshold = probability_threshold(shape.dropout_p);
  t.keep_scale = static_cast<float>(1.0 / (1.0 - static_cast<double>(shape.dropout_p)));
  return t;
}

AttentionHead head_of(const AttentionShape& shape, int64_t sequence, int64_t head) {
  const size_t b = static_cast<size_t>(sequence);
  return {.first_row = shape.cu_seqlens[b],
          .length = int64_t{shape.cu_seqlens[b + 1]} - shape.cu_seqlens[b],
          .head = head,
          .sample = shape.dropout_p > 0.0f ? shape.sample_ids[b] : 0};
}

int64_t n_sequences(const AttentionShape& shape) {
  return static_cast<int64_t>(shape.cu_seqlens.size()) - 1;
}

}  // namespace

size_t attention_workspace_bytes(const Context& ctx, const AttentionShape& shape, int64_t,
                                 bool backward) {
  return static_cast<size_t>(ctx.threads->n_threads() * thread_floats(shape, backward)) *
             sizeof(float) +
         shape.cu_seqlens.size() * sizeof(int64_t);
}

void attention_forward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                       const Tensor& out, const Tensor& lse, void* memory) {
  const AttentionTensors tensors = tensors_of(ctx, shape, qkv, out, lse);
  const Workspace workspace(ctx, shape, false, memory);
  const int64_t n = n_sequences(shape);
  int64_t* first_block = workspace.first_block;
  first_block[0] = 0;
  for (int64_t b = 0; b < n; ++b) {
    const int64_t length = head_of(shape, b, 0).length;
    first_block[b + 1] =
        first_block[b] + (length + kAttentionForwardQueries - 1) / kAttentionForwardQueries;
  }
  const auto kernel = QE_ISA_SELECT(attention_forward_queries);
  run_tasks(ctx, first_block[n] * shape.n_heads, [&](int64_t task, int thread) {
    const int64_t block = task / shape.n_heads;
    const int64_t b = std::upper_bound(first_block, first_block + n, block) - first_block - 1;
    const AttentionHead head = head_of(shape, b, task % shape.n_heads);
    const int64_t begin = (block - first_block[b]) * kAttentionForwardQueries;
    kernel(tensors, head, begin, std::min(head.length, begin + kAttentionForwardQueries),
           workspace.scratch + thread * workspace.thread_stride);
  });
}

void attention_backward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                        const Tensor& out, const Tensor& lse, const Tensor& d_out,
                        const Tensor& d_qkv, const AttentionTermGradients& d_terms, void* memory) {
  AttentionTensors tensors = tensors_of(ctx, shape, qkv, out, lse);
  tensors.d_out = d_out.f32();
  tensors.d_out_stride = d_out.stride;
  tensors.d_qkv = d_qkv.f32();
  tensors.d_qkv_stride = d_qkv.stride;
  if (d_terms.query_terms) {
    tensors.d_query_terms = d_terms.query_terms.f32();
    tensors.d_query_terms_stride = d_terms.query_terms.stride;
    tensors.d_key_terms = d_terms.key_terms.f32();
    tensors.d_key_terms_stride = d_terms.key_terms.stride;
  }
  const Workspace workspace(ctx, shape, true, memory);
  const auto kernel = QE_ISA_SELECT(attention_backward_head);
  const int64_t n_heads = shape.kv_heads();
  run_tasks(ctx, n_sequences(shape) * n_heads, [&](int64_t task, int thread) {
    kernel(tensors, head_of(shape, task / n_heads, task % n_heads),
           workspace.scratch + thread * workspace.thread_stride);
  });
}

}  // namespace qe::cpu
