// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// XLM-RoBERTa-XL and XXL: RoBERTa with pre-norm layers, a LayerNorm after the last one and none
// after the embeddings. Goyal et al. 2021.

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames xl_names() {
  EncoderNames names = bert_names::encoder("roberta");
  names.embedding_norm.clear();
  names.attention_norm = "roberta.encoder.layer.{i}.attention.self_attn_layer_norm";
  names.ffn_norm = "roberta.encoder.layer.{i}.LayerNorm";
  names.final_norm = "roberta.encoder.LayerNorm";
  bert_names::add_roberta_head(names);
  return names;
}

EncoderConfig read_xl(const Json& config) {
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
  encoder.head_activation = Activation::kGelu;
  encoder.names = xl_names();
  name_family(encoder, "xlm-roberta-xl", "XLMRobertaXL");
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
