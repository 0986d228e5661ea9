// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Linear layers: a frozen weight plus its LoRA pair, the only place the two meet; or what an
// adapter has of them in full.

#include <span>

#include "engine/autograd/ops.h"
#include "engine/model/frozen_weight.h"
#include "engine/model/lora.h"
#include "engine/model/packed_batch.h"
#include "kernels/ops/activation.h"
#include "kernels/ops/dropout.h"

namespace qe {

/// y = x W^T + bias (+ LoRA). `id` numbers a model's Linears, for adapters.
struct Linear {
  std::string module;  ///< path in the Hugging Face model
  int id = -1;         ///< -1: there is none
  FrozenWeight weight;
  Tensor bias;                                           ///< (1, N) of the compute type, nullable
  int weight_id = kNoParameter, bias_id = kNoParameter;  ///< of the model's parameters
  explicit operator bool() const { return id >= 0; }
};

/// Which tokens of the batch gathered rows stand for.
struct RowSubset {
  std::span<const uint32_t> samples;  ///< (rows)
  std::span<const uint32_t> indices;  ///< (rows)
};

/// Rows of a batch that have an adapter (null: the base alone), and which of the labelled rows are
/// among them.
struct AdapterRows {
  const LoraAdapter* adapter = nullptr;
  int64_t begin = 0, end = 0;
  int64_t label_begin = 0, label_end = 0;
};
constexpr size_t kMaxMixedAdapters = 16;
/// Whether rows with this adapter may stand beside others: it has pairs without magnitudes only.
bool can_be_mixed(const LoraAdapter* adapter);

/// What a forward pass runs with. Cheap to copy; what it points to outlives the backward pass.
struct ForwardPass {
  Tape* tape = nullptr;
  BatchView batch;
  const LoraAdapter* adapter = nullptr;  ///< null: the base alone
  bool training = false;                 ///< dropout is active
  float label_smoothing = 0.0f;          ///< of the loss
  float noise_alpha = 0.0f;              ///< of the input embeddings, in training
  bool gathered = false;                 ///< values have the rows of `rows`, not of the batch
  RowSubset rows;
  /// Instead of `adapter`, in inference: at most kMaxMixedAdapters that can be mixed, one after the
  /// other, of all rows. Not for models with rows of distances, which all sequences share.
  std::span<const AdapterRows> mixed;

  /// The same pass over gathered rows.
  ForwardPass over(const RowSubset& subset) const {
    ForwardPass pass = *this;
    pass.gathered = true;
    pass.rows = subset;
    return pass;
  }
  /// What the adapter has instead of a parameter of the model, or null.
  const FullTensor* full(int parameter) const {
    return adapter ? adapter->full(parameter) : nullptr;
  }
  /// The rows of the word table that the adapter has, or null.
  const TokenRows* token_rows() const { return adapter ? adapter->token_rows() : nullptr; }
  /// The norm with what the adapter has of it.
  Norm with_adapter(const Norm& norm) const;
  /// The dropout at a place of this pass; none when not training.
  Dropout dropout(float p, RandomPurpose purpose, uint32_t layer, uint32_t site) const;
};

/// Which input of a layer a Linear reads: Linears that share an input share its LoRA dropout mask.
enum class LinearSite : uint32_t {
  kQkv = 0,
  kAttentionOutput = 1,
  kFfnUp = 2,
  kFfnDown = 3,
  kHead = 4,
  kEmbeddingProjection = 5,  ///< with Dropout::kEmbeddingLayer
  kDistances = 6
};
/// The layer index that stands for the MLM head in random streams.
constexpr uint32_t kHeadLayer = 0xfffe;

/// The columns to leave behind the memory of x for Linears that will read it, so that base and
/// adapters are one product (kernels/ops/lora.h).
int64_t lora_room(const ForwardPass& pass, std::span<const Linear> parts);
/// The outputs of up to 3 Linears over one x (T, K), side by side: (T, sum of N).
Var linear(const ForwardPass& pass, std::span<const Linear> parts, Var x, uint32_t layer,
           LinearSite site);
/// What stands between the Linears of a feed-forward block.
struct FfnActivation {
  Activation function;
  bool gated = false;  ///< x = [a | g] becomes f(a) * g
  Dropout dropout;     ///< of the result
};
/// part(f(x)): f(x) is never saved, backward computes it again. x: (T, F), gated (T, 2F) -> (T, C).
Var activation_linear(const ForwardPass& pass, const FfnActivation& f, const Linear& part, Var x,
                      uint32_t layer, LinearSite site);

}  // namespace qe
