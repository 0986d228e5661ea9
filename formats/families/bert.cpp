// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// BERT: post-norm, learned positions from 0, two token types, GELU, a head of dense + LayerNorm
// whose output matrix is the word table. Devlin et al. 2018; transformers' BertForMaskedLM.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames bert_names() {
  const std::string layer = "bert.encoder.layer.{i}.";
  return {
      .base_prefix = "bert.",
      .word_embeddings = "bert.embeddings.word_embeddings",
      .position_embeddings = "bert.embeddings.position_embeddings",
      .token_type_embeddings = "bert.embeddings.token_type_embeddings",
      .embedding_norm = "bert.embeddings.LayerNorm",
      .query = layer + "attention.self.query",
      .key = layer + "attention.self.key",
      .value = layer + "attention.self.value",
      .attention_output = layer + "attention.output.dense",
      .attention_norm = layer + "attention.output.LayerNorm",
      .ffn_up = layer + "intermediate.dense",
      .ffn_down = layer + "output.dense",
      .ffn_norm = layer + "output.LayerNorm",
      .head_dense = "cls.predictions.transform.dense",
      .head_norm = "cls.predictions.transform.LayerNorm",
      .decoder = "cls.predictions.decoder",
      .decoder_bias = "cls.predictions.bias",
  };
}

EncoderConfig read_bert(const Json& config) {
  check_choice(config, "position_embedding_type", "absolute");
  EncoderConfig encoder = read_bert_keys(config, {});
  encoder.model_type = "bert";
  encoder.names = bert_names();
  encoder.masked_lm_class = "BertForMaskedLM";
  encoder.parent_library = "transformers.models.bert.modeling_bert";
  encoder.default_lora_targets = {"query", "value"};
  encoder.quantize_skip = {"cls"};
  complete(encoder, config);
  return encoder;
}

/// Files of BertForPreTraining also hold the next-sentence head and the pooler; files of BertModel
/// lack the prefix.
std::string bert_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "bert.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"cls.seq_relationship.", "bert.pooler."},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family bert() { return {"bert", read_bert, bert_canonical_name}; }

}  // namespace qe::model_families
