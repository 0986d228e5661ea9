// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// DistilBERT: BERT without token types, with keys and tensor names of its own, and no dropout
// after attention. Sanh et al. 2019.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames distilbert_names() {
  const std::string layer = "distilbert.transformer.layer.{i}.";
  return {
      .base_prefix = "distilbert.",
      .word_embeddings = "distilbert.embeddings.word_embeddings",
      .position_embeddings = "distilbert.embeddings.position_embeddings",
      .embedding_norm = "distilbert.embeddings.LayerNorm",
      .query = layer + "attention.q_lin",
      .key = layer + "attention.k_lin",
      .value = layer + "attention.v_lin",
      .attention_output = layer + "attention.out_lin",
      .attention_norm = layer + "sa_layer_norm",
      .ffn_up = layer + "ffn.lin1",
      .ffn_down = layer + "ffn.lin2",
      .ffn_norm = layer + "output_layer_norm",
      .head_dense = "vocab_transform",
      .head_norm = "vocab_layer_norm",
      .decoder = "vocab_projector",
      .decoder_bias = "vocab_projector.bias",
  };
}

EncoderConfig read_distilbert(const Json& config) {
  refuse_pruned_heads(config);
  EncoderConfig encoder;
  encoder.vocab_size = read_int(config, "vocab_size", 30522, 1, kMaxVocabulary);
  encoder.hidden_size = read_int(config, "dim", 768, 1, kMaxWidth);
  encoder.n_layers = read_int(config, "n_layers", 6, 1, kMaxLayers);
  encoder.n_heads = read_int(config, "n_heads", 12, 1, kMaxWidth);
  encoder.ffn_size = read_int(config, "hidden_dim", 3072, 1, kMaxWidth);
  encoder.max_positions = read_int(config, "max_position_embeddings", 512, 1, kMaxPositions);
  encoder.activation = read_activation(config, "activation", "gelu");
  encoder.head_activation = encoder.activation;
  encoder.embedding_dropout = read_dropout(config, "dropout", 0.1f);
  encoder.ffn_output_dropout = encoder.embedding_dropout;
  encoder.attention_dropout = read_dropout(config, "attention_dropout", 0.1f);
  encoder.pad_token_id = read_int(config, "pad_token_id", 0, 0, kMaxVocabulary);
  encoder.tied_decoder = read_bool(config, "tie_word_embeddings", true);
  encoder.names = distilbert_names();
  name_family(encoder, "distilbert", "DistilBert");
  encoder.quantize_skip = {"vocab_transform", "vocab_projector"};
  complete(encoder, config);
  return encoder;
}

std::string distilbert_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "distilbert.", .bare = {"embeddings.", "transformer."}, .ignored = {}};
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family distilbert() { return {"distilbert", read_distilbert, distilbert_canonical_name}; }

}  // namespace qe::model_families
