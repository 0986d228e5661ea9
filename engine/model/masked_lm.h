// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A masked language model: embeddings, encoder layers, MLM head. Weights are frozen and shared, and
// an adapter may stand for some of them; the functions here run them over packed batches.
// Everything about a family comes from EncoderConfig.

#include <memory>
#include <vector>

#include "engine/autograd/ops.h"
#include "engine/model/linear.h"
#include "formats/encoder_config.h"
#include "kernels/ops/mlm_loss.h"

namespace qe {

struct EncoderLayer {
  std::vector<Linear> qkv;        ///< query, key and value, or one of all three
  std::vector<Linear> distances;  ///< query and key of distances, where they are not qkv's
  Linear attention_output;
  Norm attention_norm;
  std::vector<Linear> ffn_up;  ///< gated: the activated one first, or one of both
  Linear ffn_down;
  Norm ffn_norm;
};

struct MaskedLm {
  EncoderConfig config;
  Tensor word_table;      ///< (V, E) in its stored type
  Tensor position_table;  ///< (positions, E), nullable
  Tensor type_table;      ///< (types, E), nullable
  int word_id = kNoParameter, position_id = kNoParameter,
      type_id = kNoParameter;  ///< of parameters
  Norm embedding_norm;
  Linear embedding_projection;       ///< E to C, where E is another width
  std::vector<EncoderLayer> layers;  ///< the distinct ones
  Norm final_norm;
  Convolution convolution;  ///< follows the first layer, nullable
  Norm convolution_norm;
  Tensor rotary_table;        ///< Rope::table, nullable
  Tensor local_rotary_table;  ///< of layers with local attention, where it differs
  Tensor relative_bias;       ///< AttentionShape::relative_bias, nullable
  Linear head_dense;          ///< C to the head's width
  Norm head_norm;
  Tensor decoder;       ///< (V, head's width); the word table when tied
  Tensor decoder_bias;  ///< (1, V) fp32
  int decoder_id = kNoParameter, decoder_bias_id = kNoParameter;  ///< of parameters
  Tensor distance_rows;  ///< (n_distance_rows, C) computed, normalized, nullable
  std::span<const int32_t> distance_columns;  ///< AttentionShape's
  RowSubset distance_subset;                  ///< what stands for distance_rows in random streams
  int n_linears = 0;                          ///< ids of Linears are below it
  std::vector<BaseParameter> parameters;      ///< by id
  int64_t n_parameters = 0;                   ///< as the tensors have them, before any packing
  /// Weights that the folder holds in 4 bits: "nf4, double quantization"; "" when there are none.
  std::string stored_quantization;

  /// Every Linear that LoRA may adapt: the encoder's and the head's dense, in id order.
  std::vector<LoraSite> lora_sites() const;
  /// The same, and all parameters.
  AdaptedBase adapted_base() const;
};

constexpr int64_t kAfterAllLayers = -1;

/// Hidden states at the batch's label_rows, (M, C), after the first n_layers (0: the embeddings),
/// or after all layers and the final norm. checkpoint: keep only the layers' inputs and compute
/// each layer again in the backward pass; same bits.
Var encode_labelled(const MaskedLm& model, const ForwardPass& pass, bool checkpoint,
                    int64_t n_layers = kAfterAllLayers);

/// One forward and, when the pass's tape records, backward pass over a batch: adds to *totals (in
/// the device's memory, nullable), writes the labelled rows' losses, (1, M) fp32, nullable, and
/// accumulates the gradients of the adapter. dlogits are scaled by StepState::loss_scale *
/// inverse_labels. The MLM head runs over labelled rows in chunks, so its memory does not depend on
/// their number.
void masked_lm_loss(const MaskedLm& model, const ForwardPass& pass, bool checkpoint,
                    MlmTotals* totals, const Tensor& row_loss = {});

/// Inference: logits (M, V) at the batch's label_rows. The caller owns `logits`.
void masked_lm_logits(const MaskedLm& model, const ForwardPass& pass, const Tensor& logits);

}  // namespace qe
