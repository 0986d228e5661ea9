// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Megatron's BERT: BERT with pre-norm layers, a LayerNorm after the last one and none after the
// embeddings. Shoeybi et al. 2019.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames megatron_names() {
  const std::string layer = "bert.encoder.layer.{i}.";
  return {
      .base_prefix = "bert.",
      .word_embeddings = "bert.embeddings.word_embeddings",
      .position_embeddings = "bert.embeddings.position_embeddings",
      .token_type_embeddings = "bert.embeddings.token_type_embeddings",
      .query = layer + "attention.self.query",
      .key = layer + "attention.self.key",
      .value = layer + "attention.self.value",
      .attention_output = layer + "attention.output.dense",
      .attention_norm = layer + "attention.ln",
      .ffn_up = layer + "intermediate.dense",
      .ffn_down = layer + "output.dense",
      .ffn_norm = layer + "ln",
      .final_norm = "bert.encoder.ln",
      .head_dense = "cls.predictions.transform.dense",
      .head_norm = "cls.predictions.transform.LayerNorm",
      .decoder = "cls.predictions.decoder",
      .decoder_bias = "cls.predictions.bias",
  };
}

EncoderConfig read_megatron(const Json& config) {
  check_choice(config, "position_embedding_type", "absolute");
  EncoderConfig encoder = read_bert_keys(
      config,
      {.vocab_size = 29056, .hidden_size = 1024, .n_layers = 24, .n_heads = 16, .ffn_size = 4096});
  encoder.norm_placement = NormPlacement::kPre;
  encoder.model_type = "megatron-bert";
  encoder.names = megatron_names();
  encoder.masked_lm_class = "MegatronBertForMaskedLM";
  encoder.parent_library = "transformers.models.megatron_bert.modeling_megatron_bert";
  encoder.quantize_skip = {"cls"};
  complete(encoder, config);
  return encoder;
}

std::string megatron_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "bert.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"cls.seq_relationship.", "bert.pooler."},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family megatron_bert() { return {"megatron-bert", read_megatron, megatron_canonical_name}; }

}  // namespace qe::model_families
