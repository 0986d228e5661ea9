// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// XLM-RoBERTa-XL and XXL: RoBERTa with pre-norm layers, a LayerNorm after the last one and none
// after the embeddings. Goyal et al. 2021.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames xl_names() {
  const std::string layer = "roberta.encoder.layer.{i}.";
  return {
      .base_prefix = "roberta.",
      .word_embeddings = "roberta.embeddings.word_embeddings",
      .position_embeddings = "roberta.embeddings.position_embeddings",
      .token_type_embeddings = "roberta.embeddings.token_type_embeddings",
      .query = layer + "attention.self.query",
      .key = layer + "attention.self.key",
      .value = layer + "attention.self.value",
      .attention_output = layer + "attention.output.dense",
      .attention_norm = layer + "attention.self_attn_layer_norm",
      .ffn_up = layer + "intermediate.dense",
      .ffn_down = layer + "output.dense",
      .ffn_norm = layer + "LayerNorm",
      .final_norm = "roberta.encoder.LayerNorm",
      .head_dense = "lm_head.dense",
      .head_norm = "lm_head.layer_norm",
      .decoder = "lm_head.decoder",
      .decoder_bias = "lm_head.bias",
  };
}

EncoderConfig read_xl(const Json& config) {
  check_choice(config, "position_embedding_type", "absolute");
  EncoderConfig encoder = read_bert_keys(config, {.vocab_size = 250880,
                                                  .hidden_size = 2560,
                                                  .n_layers = 36,
                                                  .n_heads = 32,
                                                  .ffn_size = 10240,
                                                  .max_positions = 514,
                                                  .n_token_types = 1,
                                                  .pad_token_id = 1});
  if (!config.find("layer_norm_eps")) encoder.norm_epsilon = 1e-5f;
  skip_padding(encoder);
  encoder.norm_placement = NormPlacement::kPre;
  encoder.ffn_output_dropout = 0.0f;
  encoder.head_activation = HiddenAct::kGelu;
  encoder.model_type = "xlm-roberta-xl";
  encoder.names = xl_names();
  encoder.masked_lm_class = "XLMRobertaXLForMaskedLM";
  encoder.parent_library = "transformers.models.xlm_roberta_xl.modeling_xlm_roberta_xl";
  encoder.quantize_skip = {"lm_head"};
  complete(encoder, config);
  return encoder;
}

std::string xl_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "roberta.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"roberta.pooler."},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family xlm_roberta_xl() { return {"xlm-roberta-xl", read_xl, xl_canonical_name}; }

}  // namespace qe::model_families
