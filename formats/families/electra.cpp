// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// ELECTRA's generator: BERT whose embeddings may be narrower than its layers, with a projection
// between, and a head as wide as the embeddings. Clark et al. 2020. (Discriminators have no
// masked-LM head.)

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames electra_names(bool projected) {
  EncoderNames names = bert_names::encoder("electra");
  if (projected) names.embedding_projection = "electra.embeddings_project";
  names.head_dense = "generator_predictions.dense";
  names.head_norm = "generator_predictions.LayerNorm";
  names.decoder = "generator_lm_head";
  names.decoder_bias = "generator_lm_head.bias";
  return names;
}

EncoderConfig read_electra(const Json& config) {
  EncoderConfig encoder =
      read_bert_keys(config, {.hidden_size = 256, .n_heads = 4, .ffn_size = 1024});
  encoder.embedding_size = read_int(config, "embedding_size", 128, 1, kMaxWidth);
  encoder.head_size = encoder.embedding_size;
  encoder.head_activation = Activation::kGelu;
  encoder.names = electra_names(encoder.embedding_size != encoder.hidden_size);
  name_family(encoder, "electra", "Electra");
  encoder.default_lora_targets = {"query", "value"};
  encoder.quantize_skip = {"generator_predictions", "generator_lm_head"};
  complete(encoder, config);
  return encoder;
}

std::string electra_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "electra.",
      .bare = {"embeddings.", "embeddings_project.", "encoder."},
      .ignored = {"discriminator_predictions."}};
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family electra() { return {"electra", read_electra, electra_canonical_name}; }

}  // namespace qe::model_families
