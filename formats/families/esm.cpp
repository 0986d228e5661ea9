// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// ESM-2 (rotary positions) and ESM-1b (learned ones; or none): protein language models of pre-norm
// layers whose embeddings leave masked tokens out and scale the others up for it (token dropout, in
// inference too). Rives et al. 2021, Lin et al. 2022.

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"
#include "kernels/core/error.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames esm_names(bool has_position_table, bool norm_before) {
  EncoderNames names = bert_names::encoder("esm");
  if (!has_position_table) names.position_embeddings.clear();
  names.token_type_embeddings.clear();
  names.embedding_norm = norm_before ? "esm.embeddings.layer_norm" : "";
  names.attention_norm = "esm.encoder.layer.{i}.attention.LayerNorm";
  names.ffn_norm = "esm.encoder.layer.{i}.LayerNorm";
  names.final_norm = "esm.encoder.emb_layer_norm_after";
  bert_names::add_roberta_head(names);
  names.decoder_lacks_bias = true;
  return names;
}

EncoderConfig read_esm(const Json& config) {
  refuse_flag(config, "is_folding_model", "this is the language model only");
  EncoderConfig encoder = read_bert_keys(config, {.vocab_size = 33,
                                                  .max_positions = 1026,
                                                  .n_token_types = 0,
                                                  .pad_token_id = 1,
                                                  .position_types = "rotary|absolute"});
  const Json* positions = config.find("position_embedding_type");
  const bool rotary = positions && positions->is_string() && positions->as_string() == "rotary";
  // Absent is "absolute", null is no positions at all.
  const bool has_position_table = !rotary && !(positions && positions->is_null());
  if (rotary) {
    encoder.rotary = read_rotary(config, 10000.0, encoder.max_positions);
    QE_CHECK(encoder.rotary.scaling == Rotary::Scaling::kNone, config.where(),
             ": scaled rotary positions are not supported, as EsmForMaskedLM has none");
  } else if (has_position_table) {
    skip_padding(encoder);
  }
  encoder.n_token_types = 0;
  encoder.norm_placement = NormPlacement::kPre;
  encoder.embedding_dropout = 0.0f;
  // Whatever hidden_act says.
  encoder.activation = Activation::kGelu;
  encoder.head_activation = Activation::kGelu;
  if (read_bool(config, "token_dropout", false)) {
    const Json* mask = config.find("mask_token_id");
    QE_CHECK(mask && !mask->is_null(), config.where(), ": token_dropout needs a mask_token_id");
    encoder.dropped_token_id = read_int(config, "mask_token_id", 0, 0, kMaxVocabulary);
  }
  encoder.names = esm_names(has_position_table, read_bool(config, "emb_layer_norm_before", false));
  name_family(encoder, "esm", "Esm");
  encoder.quantize_skip = {"lm_head"};
  complete(encoder, config);
  return encoder;
}

std::string esm_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "esm.", .bare = {"embeddings.", "encoder.", "pooler."}, .ignored = {"esm.pooler."}};
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family esm() { return {"esm", read_esm, esm_canonical_name}; }

}  // namespace qe::model_families
