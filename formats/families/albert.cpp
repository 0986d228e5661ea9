// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// ALBERT: BERT with narrow embeddings and a projection to the layers' width, layers that share
// weights in groups, and no dropout after the feed-forward block. Lan et al. 2019.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames albert_names() {
  const std::string layer = "albert.encoder.albert_layer_groups.{i}.albert_layers.{j}.";
  return {
      .base_prefix = "albert.",
      .word_embeddings = "albert.embeddings.word_embeddings",
      .position_embeddings = "albert.embeddings.position_embeddings",
      .token_type_embeddings = "albert.embeddings.token_type_embeddings",
      .embedding_norm = "albert.embeddings.LayerNorm",
      .embedding_projection = "albert.encoder.embedding_hidden_mapping_in",
      .query = layer + "attention.query",
      .key = layer + "attention.key",
      .value = layer + "attention.value",
      .attention_output = layer + "attention.dense",
      .attention_norm = layer + "attention.LayerNorm",
      .ffn_up = layer + "ffn",
      .ffn_down = layer + "ffn_output",
      .ffn_norm = layer + "full_layer_layer_norm",
      .head_dense = "predictions.dense",
      .head_norm = "predictions.LayerNorm",
      .decoder = "predictions.decoder",
      .decoder_bias = "predictions.bias",
  };
}

EncoderConfig read_albert(const Json& config) {
  EncoderConfig encoder = read_bert_keys(config, {.vocab_size = 30000,
                                                  .hidden_size = 4096,
                                                  .n_heads = 64,
                                                  .ffn_size = 16384,
                                                  .activation = "gelu_new",
                                                  .dropout = 0.0f});
  encoder.embedding_size = read_int(config, "embedding_size", 128, 1, kMaxWidth);
  encoder.head_size = encoder.embedding_size;
  const int64_t n_groups = read_int(config, "num_hidden_groups", 1, 1, encoder.n_layers);
  encoder.n_inner_layers = read_int(config, "inner_group_num", 1, 1, kMaxLayers / encoder.n_layers);
  encoder.n_distinct_layers = n_groups * encoder.n_inner_layers;
  encoder.n_layers *= encoder.n_inner_layers;
  encoder.ffn_output_dropout = 0.0f;
  encoder.names = albert_names();
  name_family(encoder, "albert", "Albert");
  encoder.quantize_skip = {"predictions"};
  complete(encoder, config);
  return encoder;
}

/// Files of AlbertForPreTraining also hold the sentence-order head and the pooler.
std::string albert_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "albert.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"sop_classifier.", "albert.pooler"},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family albert() { return {"albert", read_albert, albert_canonical_name}; }

}  // namespace qe::model_families
