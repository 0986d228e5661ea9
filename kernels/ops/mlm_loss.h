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
  Tensor decoder;  ///< (V', C) F32, F16 or BF16 (GPU: of the compute type), frozen
  Tensor bias;     ///< (1, V') fp32 nullable
  /// V <= V'; 0: V'. Decoder rows from V on are padding (finite), with logits of -infinity: GPUs
  /// multiply faster by a multiple of 64 rows.
  int64_t vocab_size = 0;
  std::span<const int32_t> labels;  ///< (M), each in [0, V)
  Tensor d_hidden;  ///< (M, C) nullable out: loss_scale * inverse_labels * d(sum of losses)
  Tensor row_loss;  ///< (1, M) fp32 nullable out
  MlmTotals* totals = nullptr;   ///< in the device's memory; added to
  float label_smoothing = 0.0f;  ///< s, in [0, 1)
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

/// Rows of logits held at a time: a function of the device and the vocabulary only. On a GPU enough
/// of them that reading the decoder does not cost more than multiplying by it.
int64_t mlm_loss_chunk_rows(Device device, int64_t vocab_size);

/// Scratch: min(M, chunk rows) * (V' + 2) * 4 bytes (V' rounded up to 16), and gemm's. M may be 0.
void mlm_loss(Context& ctx, const MlmLoss& args);

/// logits = hidden decoder^T + bias, (M, V) fp32: for inference over few rows. decoder and bias may
/// have more rows than V.
void mlm_logits(Context& ctx, const Tensor& hidden, const Tensor& decoder, const Tensor& bias,
                const Tensor& logits);

}  // namespace qe
