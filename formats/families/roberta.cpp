// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// RoBERTa, and XLM-RoBERTa and CamemBERT, which differ from it by vocabulary only: BERT's layers
// with positions that count non-padding ids from pad_token_id + 1 on. Liu et al. 2019.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames roberta_names() {
  const std::string layer = "roberta.encoder.layer.{i}.";
  return {
      .base_prefix = "roberta.",
      .word_embeddings = "roberta.embeddings.word_embeddings",
      .position_embeddings = "roberta.embeddings.position_embeddings",
      .token_type_embeddings = "roberta.embeddings.token_type_embeddings",
      .embedding_norm = "roberta.embeddings.LayerNorm",
      .query = layer + "attention.self.query",
      .key = layer + "attention.self.key",
      .value = layer + "attention.self.value",
      .attention_output = layer + "attention.output.dense",
      .attention_norm = layer + "attention.output.LayerNorm",
      .ffn_up = layer + "intermediate.dense",
      .ffn_down = layer + "output.dense",
      .ffn_norm = layer + "output.LayerNorm",
      .head_dense = "lm_head.dense",
      .head_norm = "lm_head.layer_norm",
      .decoder = "lm_head.decoder",
      .decoder_bias = "lm_head.bias",
  };
}

EncoderConfig read(const Json& config, int64_t vocab_size) {
  check_choice(config, "position_embedding_type", "absolute");
  EncoderConfig encoder = read_bert_keys(config, {.vocab_size = vocab_size, .pad_token_id = 1});
  skip_padding(encoder);
  encoder.head_activation = HiddenAct::kGelu;
  encoder.names = roberta_names();
  encoder.quantize_skip = {"lm_head"};
  complete(encoder, config);
  return encoder;
}

EncoderConfig read_roberta(const Json& config) {
  EncoderConfig encoder = read(config, 50265);
  encoder.model_type = "roberta";
  encoder.masked_lm_class = "RobertaForMaskedLM";
  encoder.parent_library = "transformers.models.roberta.modeling_roberta";
  encoder.default_lora_targets = {"query", "value"};
  return encoder;
}

EncoderConfig read_xlm_roberta(const Json& config) {
  EncoderConfig encoder = read(config, 30522);
  encoder.model_type = "xlm-roberta";
  encoder.masked_lm_class = "XLMRobertaForMaskedLM";
  encoder.parent_library = "transformers.models.xlm_roberta.modeling_xlm_roberta";
  encoder.default_lora_targets = {"query", "value"};
  return encoder;
}

EncoderConfig read_camembert(const Json& config) {
  EncoderConfig encoder = read(config, 30522);
  encoder.model_type = "camembert";
  encoder.masked_lm_class = "CamembertForMaskedLM";
  encoder.parent_library = "transformers.models.camembert.modeling_camembert";
  return encoder;
}

std::string roberta_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "roberta.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"roberta.pooler."},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family roberta() { return {"roberta", read_roberta, roberta_canonical_name}; }
Family xlm_roberta() { return {"xlm-roberta", read_xlm_roberta, roberta_canonical_name}; }
Family camembert() { return {"camembert", read_camembert, roberta_canonical_name}; }

}  // namespace qe::model_families
