// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/families/bert_names.h"

namespace qe::bert_names {

EncoderNames encoder(const std::string& model) {
  const std::string embeddings = model + ".embeddings.";
  const std::string layer = model + ".encoder.layer.{i}.";
  return {
      .base_prefix = model + ".",
      .word_embeddings = embeddings + "word_embeddings",
      .position_embeddings = embeddings + "position_embeddings",
      .token_type_embeddings = embeddings + "token_type_embeddings",
      .embedding_norm = embeddings + "LayerNorm",
      .query = layer + "attention.self.query",
      .key = layer + "attention.self.key",
      .value = layer + "attention.self.value",
      .attention_output = layer + "attention.output.dense",
      .attention_norm = layer + "attention.output.LayerNorm",
      .ffn_up = layer + "intermediate.dense",
      .ffn_down = layer + "output.dense",
      .ffn_norm = layer + "output.LayerNorm",
  };
}

void add_bert_head(EncoderNames& names) {
  names.head_dense = "cls.predictions.transform.dense";
  names.head_norm = "cls.predictions.transform.LayerNorm";
  names.decoder = "cls.predictions.decoder";
  names.decoder_bias = "cls.predictions.bias";
}

void add_roberta_head(EncoderNames& names) {
  names.head_dense = "lm_head.dense";
  names.head_norm = "lm_head.layer_norm";
  names.decoder = "lm_head.decoder";
  names.decoder_bias = "lm_head.bias";
}

}  // namespace qe::bert_names
