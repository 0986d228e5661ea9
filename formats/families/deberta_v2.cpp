// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// DeBERTa-v2 and v3: BERT without positions in its embeddings; instead, attention scores have terms
// for the distance of query and key (disentangled attention). He et al. 2020, 2021.

#include <algorithm>

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"
#include "kernels/core/error.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames deberta_names(const EncoderConfig& encoder, bool positions, bool shared, bool normed) {
  const std::string attention = "deberta.encoder.layer.{i}.attention.self.";
  EncoderNames names = bert_names::encoder("deberta");
  if (!positions) names.position_embeddings.clear();
  if (encoder.n_token_types == 0) names.token_type_embeddings.clear();
  if (encoder.embedding_size != encoder.hidden_size) {
    names.embedding_projection = "deberta.embeddings.embed_proj";
  }
  names.query = attention + "query_proj";
  names.key = attention + "key_proj";
  names.value = attention + "value_proj";
  if (encoder.n_distance_rows > 0) {
    names.distances = "deberta.encoder.rel_embeddings";
    if (normed) names.distance_norm = "deberta.encoder.LayerNorm";
  }
  if (encoder.convolution_width > 0) {
    names.convolution = "deberta.encoder.conv.conv";
    names.convolution_norm = "deberta.encoder.conv.LayerNorm";
  }
  if (encoder.n_distance_rows > 0 && !shared) {
    names.distance_query = attention + "pos_query_proj";
    names.distance_key = attention + "pos_key_proj";
  }
  bert_names::add_bert_head(names);
  return names;
}

/// "p2c|c2p" or a list of both; neither where distances do not count.
void check_position_terms(const Json& config, bool relative) {
  const Json* terms = config.find("pos_att_type");
  if (terms && terms->is_null()) terms = nullptr;
  std::string text;
  if (terms && terms->is_string()) text = terms->as_string();
  if (terms && terms->is_array()) {
    for (const Json& item : terms->items()) text += item.as_string() + "|";
  }
  const bool c2p = text.find("c2p") != std::string::npos;
  const bool p2c = text.find("p2c") != std::string::npos;
  QE_CHECK(c2p == relative && p2c == relative, terms ? terms->where() : config.where(),
           ": expected ",
           relative ? "both c2p and p2c" : "no pos_att_type without relative_attention", ", got ",
           terms ? terms->dump() : "no pos_att_type");
}

/// The layer of convolutions that v2-xlarge and v2-xxlarge have.
void read_convolution(const Json& config, EncoderConfig& encoder) {
  constexpr int64_t kMaxWidthOfConvolution = 255;
  encoder.convolution_width = read_int(config, "conv_kernel_size", 0, 0, kMaxWidthOfConvolution);
  if (encoder.convolution_width == 0) return;
  QE_CHECK(encoder.convolution_width % 2 == 1, config.at("conv_kernel_size").where(),
           ": expected an odd number, got ", encoder.convolution_width);
  encoder.convolution_groups = read_int(config, "conv_groups", 1, 1, encoder.hidden_size);
  QE_CHECK(encoder.hidden_size % encoder.convolution_groups == 0, config.where(), ": hidden size ",
           encoder.hidden_size, " is not a multiple of conv_groups ", encoder.convolution_groups);
  encoder.convolution_activation = read_activation(config, "conv_act", "tanh");
}

/// Sizes of the embedding of distances.
void read_distances(const Json& config, EncoderConfig& encoder) {
  encoder.distance_buckets =
      std::max<int64_t>(0, read_int(config, "position_buckets", -1, -1, kMaxPositions));
  encoder.max_distance = read_int(config, "max_relative_positions", -1, -1, kMaxPositions);
  if (encoder.max_distance < 1) encoder.max_distance = encoder.max_positions;
  QE_CHECK(
      encoder.distance_buckets == 0 || (encoder.distance_buckets >= 4 &&
                                        encoder.max_distance > encoder.distance_buckets / 2 + 1),
      config.where(), ": position_buckets ", encoder.distance_buckets,
      " do not fit distances up to ", encoder.max_distance);
  encoder.n_distance_rows =
      2 * (encoder.distance_buckets > 0 ? encoder.distance_buckets : encoder.max_distance);
}

EncoderConfig read_deberta(const Json& config) {
  const bool relative = read_bool(config, "relative_attention", false);
  check_position_terms(config, relative);
  EncoderConfig encoder = read_bert_keys(config, {.vocab_size = 128100,
                                                  .hidden_size = 1536,
                                                  .n_layers = 24,
                                                  .n_heads = 24,
                                                  .ffn_size = 6144,
                                                  .n_token_types = 0});
  if (!config.find("layer_norm_eps")) encoder.norm_epsilon = 1e-7f;
  encoder.embedding_size = read_int(config, "embedding_size", encoder.hidden_size, 1, kMaxWidth);
  encoder.norm_after_projection = true;
  encoder.biases.embedding_projection = false;
  const bool legacy = read_bool(config, "legacy", true);
  encoder.head_size = legacy ? encoder.embedding_size : encoder.hidden_size;
  QE_CHECK(encoder.head_size == encoder.embedding_size, config.where(), ": a head of ",
           encoder.head_size, " columns does not fit embeddings of ", encoder.embedding_size);
  if (relative) read_distances(config, encoder);
  read_convolution(config, encoder);
  const Json* norm = config.find("norm_rel_ebd");
  const bool normed =
      norm && norm->is_string() && norm->as_string().find("layer_norm") != std::string::npos;
  encoder.names = deberta_names(encoder, read_bool(config, "position_biased_input", true),
                                read_bool(config, "share_att_key", false), normed);
  name_family(encoder, "deberta-v2", "DebertaV2");
  encoder.default_lora_targets = {"query_proj", "value_proj"};
  encoder.quantize_skip = {"cls", "lm_predictions"};
  complete(encoder, config);
  // transformers' output projection takes no other.
  read_int(config, "attention_head_size", encoder.head_dim, encoder.head_dim, encoder.head_dim);
  return encoder;
}

/// The head that Microsoft's checkpoints hold (the one with "legacy": false) serves where there is
/// no other.
std::string deberta_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "deberta.",
      .bare = {"embeddings.", "encoder."},
      .ignored = {"pooler.", "mask_predictions.", "deberta.pooler."},
      .beginnings = {{"lm_predictions.lm_head.bias", "cls.predictions.bias"},
                     {"lm_predictions.lm_head.", "cls.predictions.transform."}}};
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family deberta_v2() { return {"deberta-v2", read_deberta, deberta_canonical_name}; }

}  // namespace qe::model_families
