// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// MPNet: RoBERTa without token types, with T5's relative attention bias, which all layers share.
// Song et al. 2020.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames mpnet_names() {
  const std::string layer = "mpnet.encoder.layer.{i}.";
  return {
      .base_prefix = "mpnet.",
      .word_embeddings = "mpnet.embeddings.word_embeddings",
      .position_embeddings = "mpnet.embeddings.position_embeddings",
      .embedding_norm = "mpnet.embeddings.LayerNorm",
      .query = layer + "attention.attn.q",
      .key = layer + "attention.attn.k",
      .value = layer + "attention.attn.v",
      .attention_output = layer + "attention.attn.o",
      .attention_norm = layer + "attention.LayerNorm",
      .relative_bias = "mpnet.encoder.relative_attention_bias",
      .ffn_up = layer + "intermediate.dense",
      .ffn_down = layer + "output.dense",
      .ffn_norm = layer + "output.LayerNorm",
      .head_dense = "lm_head.dense",
      .head_norm = "lm_head.layer_norm",
      .decoder = "lm_head.decoder",
      .decoder_bias = "lm_head.bias",
  };
}

EncoderConfig read_mpnet(const Json& config) {
  EncoderConfig encoder =
      read_bert_keys(config, {.vocab_size = 30527, .n_token_types = 0, .pad_token_id = 1});
  encoder.pad_token_id = 1;  // whatever the key says
  skip_padding(encoder);
  encoder.n_token_types = 0;
  encoder.n_relative_buckets = read_int(config, "relative_attention_num_buckets", 32, 4, 4096);
  encoder.head_activation = HiddenAct::kGelu;
  encoder.model_type = "mpnet";
  encoder.names = mpnet_names();
  encoder.masked_lm_class = "MPNetForMaskedLM";
  encoder.parent_library = "transformers.models.mpnet.modeling_mpnet";
  encoder.quantize_skip = {"lm_head"};
  complete(encoder, config);
  return encoder;
}

std::string mpnet_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{.prefix = "mpnet.",
                                           .bare = {"embeddings.", "encoder.", "pooler."},
                                           .ignored = {"mpnet.pooler."}};
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family mpnet() { return {"mpnet", read_mpnet, mpnet_canonical_name}; }

}  // namespace qe::model_families
