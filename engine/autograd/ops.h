// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Differentiable ops over Vars: each runs a kernel op forward and records its backward. (The
// product of a frozen weight plus LoRA is engine/model/linear.h.)

#include "engine/autograd/tape.h"
#include "kernels/ops/activation.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/dropout.h"
#include "kernels/ops/rope.h"

namespace qe {

/// A LayerNorm or RMS norm; without gamma there is none.
struct Norm {
  Tensor gamma;  ///< (1, C)
  Tensor beta;   ///< (1, C) nullable
  float epsilon = 1e-12f;
  bool rms = false;
  int gamma_id = -1, beta_id = -1;  ///< of the model's parameters
  Tensor d_gamma, d_beta;           ///< absent where frozen, else accumulated: (1, C) fp32
  bool trains() const { return d_gamma || d_beta; }
  explicit operator bool() const { return static_cast<bool>(gamma); }
};

/// LayerNorm(residual + dropout(branch)). Consumes branch: its memory becomes the saved sum.
/// branch, residual, result: (T, C). Here and below, room: columns of memory to leave behind those
/// of the result (linear.h).
Var residual_norm(Tape& tape, const Norm& norm, Var branch, Var residual, const Dropout& dropout,
                  int64_t room = 0);
/// LayerNorm(x); consumes x likewise.
Var norm(Tape& tape, const Norm& norm, Var x, int64_t room = 0);
/// LayerNorm(x), where x lives on: what enters a branch of a pre-norm block.
Var branch_norm(Tape& tape, const Norm& norm, Var x, int64_t room = 0);
/// residual + dropout(branch): the end of such a branch, which is dropped.
Var residual_add(Tape& tape, Var branch, Var residual, const Dropout& dropout);

/// dropout(x), which is dropped: in its memory where x needs no gradient.
Var dropped(Tape& tape, const Dropout& dropout, Var x, int64_t room = 0);

/// f(x), (T, F) -> (T, F).
Var activation(Tape& tape, Activation f, Var x);

/// Self-attention over packed sequences: qkv (T, (H + 2 n_kv_heads) D) -> (T, H D). Where `rotary`
/// has a table, it turns queries and keys in their memory before. The spans outlive the backward
/// pass.
Var attention(Tape& tape, const AttentionShape& shape, const Rope& rotary, Var qkv,
              int64_t room = 0);

/// The same with DeBERTa's terms by distance, whose columns shape has: positions
/// (n_distance_columns, 2 H D) holds queries and then keys of the distances. scale (q k^T + q
/// keys^T + k queries^T): the terms are made for the forward and again for the backward pass, (T, H
/// n_distance_columns) fp32 each.
Var disentangled_attention(Tape& tape, const AttentionShape& shape, Var qkv, Var positions);

/// A frozen convolution over the tokens of each sequence.
struct Convolution {
  /// (C, width * C / groups): for each output column, what it takes of the tokens around in turn.
  Tensor weight;
  Tensor bias;  ///< (1, C) of the compute type
  int64_t groups = 1;
  explicit operator bool() const { return static_cast<bool>(weight); }
};
/// dropout(convolution of x), (T, C) -> (T, C). row_indices: (T), outlive the backward pass.
Var convolution(Tape& tape, const Convolution& convolution, std::span<const uint32_t> row_indices,
                const Dropout& dropout, Var x);

/// The rows of x (T, C) named by `rows`, on memory for row_capacity rows.
Var gather(Tape& tape, Var x, std::span<const int32_t> rows, int64_t row_capacity,
           int64_t room = 0);

}  // namespace qe
