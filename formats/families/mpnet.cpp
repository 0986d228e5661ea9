// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// MPNet: RoBERTa without token types, with T5's relative attention bias, which all layers share.
// Song et al. 2020.

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames mpnet_names() {
  const std::string attention = "mpnet.encoder.layer.{i}.attention.";
  EncoderNames names = bert_names::encoder("mpnet");
  names.token_type_embeddings.clear();
  names.query = attention + "attn.q";
  names.key = attention + "attn.k";
  names.value = attention + "attn.v";
  names.attention_output = attention + "attn.o";
  names.attention_norm = attention + "LayerNorm";
  names.relative_bias = "mpnet.encoder.relative_attention_bias";
  bert_names::add_roberta_head(names);
  return names;
}

EncoderConfig read_mpnet(const Json& config) {
  EncoderConfig encoder =
      read_bert_keys(config, {.vocab_size = 30527, .n_token_types = 0, .pad_token_id = 1});
  encoder.pad_token_id = 1;  // whatever the key says
  skip_padding(encoder);
  encoder.n_token_types = 0;
  encoder.n_relative_buckets = read_int(config, "relative_attention_num_buckets", 32, 4, 4096);
  encoder.head_activation = Activation::kGelu;
  encoder.names = mpnet_names();
  name_family(encoder, "mpnet", "MPNet");
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
