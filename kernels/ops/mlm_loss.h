// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The masked-LM head's decoder and its cross-entropy, over labelled rows only and in chunks of
// rows, so logits of all rows by the whole vocabulary are never stored. Loss and softmax statistics
// are fp32; the loss is exact over accumulation: dlogits are scaled by StepState::inverse_labels.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/embedding.h"

namespace qe {

/// Running sums over the labelled rows of a step or of an evaluation, added in ascending row order.
struct MlmTotals {
  double loss = 0.0;      ///< sum of the rows' losses, natural log
  int64_t n_labels = 0;   ///< rows
  int64_t n_correct = 0;  ///< rows whose highest logit (lowest id among equals) is the label
};

/// What a GPU's owner of a decoder rounds its rows up to, with zeros: the whole op over 30528 rows
/// takes two thirds of the time that it takes over 30522 (H100, 2458 labels).
inline constexpr int64_t kMlmDecoderRowMultiple = 64;

/// A row's loss is -log p(label), or with label smoothing s (Szegedy et al. 2016, arXiv:1512.00567;
/// transformers' LabelSmoother) (1 - s) (-log p(label)) + s mean over the vocabulary of -log p.
struct MlmLoss {
  Tensor hidden;   ///< (M, C) computed: the head's transform of the labelled rows
  Tensor decoder;  ///< (V', C) F32, F16 or BF16 (GPU: of the compute type)
  Tensor bias;     ///< (1, V') fp32 nullable
  /// V <= V'; 0: V'. Decoder rows from V on are padding (finite), with logits of -infinity: GPUs
  /// multiply faster by a multiple of 64 rows.
  int64_t vocab_size = 0;
  std::span<const int32_t> labels;  ///< (M), each in [0, V)
  Tensor d_hidden;  ///< (M, C) nullable out: loss_scale * inverse_labels * d(sum of losses)
  Tensor row_loss;  ///< (1, M) fp32 nullable out
  MlmTotals* totals = nullptr;   ///< in the device's memory; added to
  float label_smoothing = 0.0f;  ///< s, in [0, 1)
  // What is trained of the decoder: fp32, nullable, accumulated, scaled as d_hidden.
  Tensor d_decoder;       ///< (V to V', C), 0 added from V on
  Tensor d_bias;          ///< (1, V to V'), likewise
  ReplacedRows replaced;  ///< of the decoder (a tied one); d_decoder has no share of theirs
  Tensor d_replaced;      ///< (n, C)
};

/// The middle of mlm_loss, for one chunk of rows: what a backend provides.
struct MlmLossRows {
  /// (n, V') fp32, rows 16-byte aligned. When `gradient` is set, dlogits of the compute type, 0
  /// from V on, replace it: they begin where the rows of logits begin.
  Tensor logits;
  int64_t vocab_size = 0;           ///< V
  std::span<const int32_t> labels;  ///< (n)
  bool gradient = false;
  Tensor row_loss;              ///< (1, n) nullable out
  MlmTotals* totals = nullptr;  ///< nullable
  float* losses = nullptr;      ///< (n) scratch
  int32_t* correct = nullptr;   ///< (n) scratch
  float label_smoothing = 0.0f;
};

/// Some columns of a matrix, beside it. A backend provides put_columns, which writes all[:, ids[j]]
/// = chosen[:, j] + bias[ids[j]], and take_columns: chosen[:, j] = all[:, ids[j]], then 0 there.
struct ChosenColumns {
  Tensor all;                    ///< (M, V'): put: fp32, take: of the compute type
  std::span<const int32_t> ids;  ///< (n), distinct
  Tensor chosen;                 ///< (M, n) of all's type
  Tensor bias;                   ///< (1, V') fp32 nullable
};

/// Rows of logits held at a time: a function of the device and the vocabulary only. On a GPU enough
/// of them that reading the decoder does not cost more than multiplying by it.
int64_t mlm_loss_chunk_rows(Device device, int64_t vocab_size);

/// Scratch: min(M, chunk rows) * (V' + n + 2) * 4 bytes (V' and n rounded up to 16), and gemm's or
/// column_sums'. M may be 0. Gradients of the decoder and its bias sum over rows as gemm and
/// column_sums do, chunk after chunk in ascending order.
void mlm_loss(Context& ctx, const MlmLoss& args);

/// logits = hidden decoder^T + bias, (M, V) fp32: for inference over few rows. decoder and bias may
/// have more rows than V. Scratch: gemm's, and with replaced rows M * n * 4 bytes (n rounded up to
/// 16).
void mlm_logits(Context& ctx, const Tensor& hidden, const Tensor& decoder, const Tensor& bias,
                const Tensor& logits, const ReplacedRows& replaced = {});

}  // namespace qe
