// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A masked language model: embeddings, encoder layers, MLM head. Weights are frozen and shared; the
// functions here run them over packed batches. Everything about a family comes from EncoderConfig.

#include <memory>
#include <vector>

#include "engine/autograd/ops.h"
#include "engine/model/linear.h"
#include "formats/encoder_config.h"
#include "kernels/ops/mlm_loss.h"

namespace qe {

struct EncoderLayer {
  Linear qkv[3];  ///< query, key, value
  Linear attention_output;
  Norm attention_norm;
  Linear ffn_up;
  Linear ffn_down;
  Norm ffn_norm;
};

struct MaskedLm {
  EncoderConfig config;
  Tensor word_table;      ///< (V, C) in its stored type
  Tensor position_table;  ///< (positions, C)
  Tensor type_table;      ///< (types, C), nullable
  Norm embedding_norm;
  std::vector<EncoderLayer> layers;
  Linear head_dense;
  Norm head_norm;
  Tensor decoder;       ///< (V, C); the word table when tied
  Tensor decoder_bias;  ///< (1, V) fp32
  /// Weights that the folder holds in 4 bits: "nf4, double quantization"; "" when there are none.
  std::string stored_quantization;

  int n_linears() const { return static_cast<int>(layers.size()) * 6 + 1; }
  /// Every Linear that LoRA may adapt: the encoder's and the head's dense, in id order.
  std::vector<LoraSite> lora_sites() const;
};

Activation activation_of(HiddenAct act);

/// Hidden states of the last layer at the batch's label_rows, (M, C). checkpoint: keep only the
/// layers' inputs and compute each layer again in the backward pass; same bits.
Var encode_labelled(const MaskedLm& model, const ForwardPass& pass, bool checkpoint);

/// One forward and, when the pass's tape records, backward pass over a batch: adds to *totals (in
/// the device's memory) and accumulates the gradients of the adapter. dlogits are scaled by
/// StepState::loss_scale * inverse_labels. The MLM head runs over labelled rows in chunks,
/// so its memory does not depend on their number.
void masked_lm_loss(const MaskedLm& model, const ForwardPass& pass, bool checkpoint,
                    MlmTotals* totals);

/// Inference: logits (M, V) at the batch's label_rows. The caller owns `logits`.
void masked_lm_logits(const MaskedLm& model, const ForwardPass& pass, const Tensor& logits);

}  // namespace qe
