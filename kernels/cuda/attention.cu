// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Which attention kernels run. attention_forward.cuh and attention_backward.cuh explain the ones on
// tensor cores, attention_simt.cu the others.

#include "kernels/core/philox.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_simt.cuh"
#include "kernels/cuda/attention_sm80.cuh"
#include "kernels/cuda/choices.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

// Columns that the tensor-core kernels give a head: the next size that they are compiled for. 0:
// none. (24 takes 32; 80 is its own size because padding it to 96 would waste a sixth.)
int padded_dim(int64_t head_dim) {
  for (const int dim : {16, 32, 64, 80, 96, 128}) {
    if (head_dim <= dim) return dim;
  }
  return 0;
}

// The tensor-core kernels need sm_80, a 16-bit type, plain scores of as many heads of keys as of
// queries, and rows and heads that begin at multiples of 16 bytes. All of that is known before the
// batch is, so a sequence's bits do not depend on the others in it.
int tensor_core_dim(const Context& ctx, const AttentionShape& shape,
                    std::initializer_list<const Tensor*> tensors) {
  if (ctx.compute == DType::kF32 || ctx.limits.compute_capability < 80) return 0;
  if (shape.kv_heads() != shape.n_heads || shape.window > 0 || shape.relative_bias ||
      shape.query_terms) {
    return 0;
  }
  if (shape.head_dim % 8 != 0) return 0;
  for (const Tensor* t : tensors) {
    if (!packable(*t, 8) || t->stride % 8 != 0) return 0;
  }
  return padded_dim(shape.head_dim);
}

AttentionArgs args_of(const Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                      const Tensor& out, const Tensor& lse) {
  QE_CHECK(shape.scale > 0.0f, "attention: expected a scale above 0, got ", shape.scale);
  const double keep = 1.0 - static_cast<double>(shape.dropout_p);
  return {.cu_seqlens = shape.cu_seqlens.data(),
          .sample_ids = shape.sample_ids.data(),
          .step = ctx.step,
          .n_sequences = static_cast<int>(shape.cu_seqlens.size()) - 1,
          .n_heads = static_cast<int>(shape.n_heads),
          .n_kv_heads = static_cast<int>(shape.kv_heads()),
          .head_dim = static_cast<int>(shape.head_dim),
          .scale = shape.scale,
          .window = static_cast<int>(shape.window),
          .relative_bias = shape.relative_bias
                               ? shape.relative_bias.f32() + shape.relative_bias.cols / 2
                               : nullptr,
          .bias_stride = shape.relative_bias.stride,
          .query_terms = shape.query_terms ? shape.query_terms.f32() : nullptr,
          .key_terms = shape.key_terms ? shape.key_terms.f32() : nullptr,
          .query_terms_stride = shape.query_terms.stride,
          .key_terms_stride = shape.key_terms.stride,
          .distance_columns = shape.distance_columns.data() + shape.distance_columns.size() / 2,
          .n_distance_columns = static_cast<int>(shape.n_distance_columns),
          .dropout = shape.dropout_p > 0.0f,
          .layer = shape.layer,
          .threshold = probability_threshold(shape.dropout_p),
          .keep_scale = static_cast<float>(1.0 / keep),
          .qkv = qkv.data,
          .qkv_stride = qkv.stride,
          .out = out.data,
          .out_stride = out.stride,
          .lse = lse.f32(),
          .lse_stride = lse.stride};
}

template <class Function>
void with_16_bit_type(DType dtype, const Function& f) {
  dtype == DType::kBF16 ? f(Type<__nv_bfloat16>{}) : f(Type<__half>{});
}

}  // namespace

void attention_forward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                       const Tensor& out, const Tensor& lse, void*) {
  if (qkv.rows == 0) return;
  const AttentionArgs args = args_of(ctx, shape, qkv, out, lse);
  const int dim = tensor_core_dim(ctx, shape, {&qkv, &out});
  if (dim == 0) return attention_forward_simt(ctx, args, ctx.compute, qkv.rows);
  with_16_bit_type(ctx.compute, [&](auto type) {
    attention_forward_sm80<typename decltype(type)::type>(ctx, args, dim, qkv.rows);
  });
}

void attention_backward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                        const Tensor& out, const Tensor& lse, const Tensor& d_out,
                        const Tensor& d_qkv, const AttentionTermGradients& d_terms,
                        void* workspace) {
  if (qkv.rows == 0) return;
  AttentionArgs args = args_of(ctx, shape, qkv, out, lse);
  args.d_out = d_out.data;
  args.d_out_stride = d_out.stride;
  args.d_qkv = d_qkv.data;
  args.d_qkv_stride = d_qkv.stride;
  if (d_terms.query_terms) {
    args.d_query_terms = d_terms.query_terms.f32();
    args.d_query_terms_stride = d_terms.query_terms.stride;
    args.d_key_terms = d_terms.key_terms.f32();
    args.d_key_terms_stride = d_terms.key_terms.stride;
    for (const Tensor* d : {&d_terms.query_terms, &d_terms.key_terms}) {
      const cudaError_t status =
          cudaMemset2DAsync(d->data, static_cast<size_t>(d->stride) * sizeof(float), 0,
                            static_cast<size_t>(d->cols) * sizeof(float),
                            static_cast<size_t>(d->rows), stream_of(ctx));
      QE_CHECK(status == cudaSuccess, "attention_backward: ", cudaGetErrorString(status));
    }
  }
  args.row_dots = static_cast<float*>(workspace);
  const int dim = tensor_core_dim(ctx, shape, {&qkv, &out, &d_out, &d_qkv});
  if (dim == 0) return attention_backward_simt(ctx, args, ctx.compute, qkv.rows);
  args.short_length = short_length(shape.head_dim);
  args.drop_words = drop_words(ctx, shape);
  args.n_tokens = qkv.rows;
  if (args.drop_words > 0) {
    args.drops = static_cast<uint32_t*>(workspace) + qkv.rows * shape.n_heads;
  }
  with_16_bit_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    if (args.short_length > 0) attention_short_sm80<T>(ctx, args, dim, qkv.rows);
    if (shape.max_length <= args.short_length) return;
    attention_queries_sm80<T>(ctx, args, dim, qkv.rows);
    attention_keys_sm80<T>(ctx, args, dim, qkv.rows);
  });
}

}  // namespace qe::cuda
