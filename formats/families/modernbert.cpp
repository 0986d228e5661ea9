// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// ModernBERT: pre-norm layers without biases, rotary positions, a gated feed-forward block, and
// attention that is local in all layers but every third. Warner et al. 2024.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"
#include "kernels/core/error.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

constexpr const char* kGlobal = "full_attention";
constexpr const char* kLocal = "sliding_attention";

EncoderNames modernbert_names() {
  const std::string layer = "model.layers.{i}.";
  return {
      .base_prefix = "model.",
      .word_embeddings = "model.embeddings.tok_embeddings",
      .embedding_norm = "model.embeddings.norm",
      .query = layer + "attn.Wqkv",
      .attention_output = layer + "attn.Wo",
      .attention_norm = layer + "attn_norm",
      .ffn_up = layer + "mlp.Wi",
      .ffn_down = layer + "mlp.Wo",
      .ffn_norm = layer + "mlp_norm",
      .final_norm = "model.final_norm",
      .head_dense = "head.dense",
      .head_norm = "head.norm",
      .decoder = "decoder",
      .decoder_bias = "decoder.bias",
  };
}

/// layer_types (transformers 5), or every global_attn_every_n_layers-th layer is global.
void read_layer_types(const Json& config, EncoderConfig& encoder) {
  const int64_t every = read_int(config, "global_attn_every_n_layers", 3, 1, kMaxLayers);
  for (int64_t i = 0; i < encoder.n_layers; ++i) encoder.local_layers.push_back(i % every != 0);
  const Json* types = config.find("layer_types");
  if (!types || types->is_null()) return;
  const auto& items = types->items();
  QE_CHECK(static_cast<int64_t>(items.size()) == encoder.n_layers, types->where(), ": expected ",
           encoder.n_layers, " layers, got ", items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string& type = items[i].as_string();
    QE_CHECK(type == kGlobal || type == kLocal, items[i].where(), ": ", items[i].dump(),
             " is not supported; supported: ", kGlobal, ", ", kLocal);
    encoder.local_layers[i] = type == kLocal;
  }
}

/// rope_parameters (transformers 5) by the kind of layer, or one key for each; a local one that is
/// null is the global one. rope_scaling is of both.
void read_rotaries(const Json& config, EncoderConfig& encoder) {
  const Json* scaling = config.find("rope_scaling");
  const Json* parameters = config.find("rope_parameters");
  const bool scaled = scaling && !scaling->is_null();
  const bool parted = parameters && !parameters->is_null();
  QE_CHECK(!(scaled && parted), scaling->where(), ": is not supported beside rope_parameters");
  const auto of = [&](const char* kind, const char* key, double standard) {
    Rotary rotary;
    rotary.theta = read_theta(config, key, standard);
    if (scaled) return rotary_of(*scaling, rotary.theta, encoder.max_positions);
    const Json* entry = parted ? parameters->find(kind) : nullptr;
    if (!entry || entry->is_null()) return rotary;
    return rotary_of(*entry, rotary.theta, encoder.max_positions);
  };
  encoder.rotary = of(kGlobal, "global_rope_theta", 160000.0);
  const bool same = config.find("local_rope_theta") && config.at("local_rope_theta").is_null();
  encoder.local_rotary = of(kLocal, "local_rope_theta", same ? encoder.rotary.theta : 10000.0);
}

EncoderConfig read_modernbert(const Json& config) {
  EncoderConfig encoder;
  encoder.vocab_size = read_int(config, "vocab_size", 50368, 1, kMaxVocabulary);
  encoder.hidden_size = read_int(config, "hidden_size", 768, 1, kMaxWidth);
  encoder.n_layers = read_int(config, "num_hidden_layers", 22, 1, kMaxLayers);
  encoder.n_heads = read_int(config, "num_attention_heads", 12, 1, kMaxWidth);
  encoder.ffn_size = read_int(config, "intermediate_size", 1152, 1, kMaxWidth);
  encoder.gated_ffn = true;
  encoder.max_positions = read_int(config, "max_position_embeddings", 8192, 1, kMaxPositions);
  encoder.activation = read_activation(config, "hidden_activation", "gelu");
  encoder.head_activation = read_activation(config, "classifier_activation", "gelu");
  encoder.norm_epsilon = read_epsilon(config, "norm_eps", 1e-5f);
  encoder.norm_placement = NormPlacement::kPre;
  encoder.first_attention_norm = false;
  encoder.local_window = read_int(config, "local_attention", 128, 2, 2 * kMaxPositions) / 2;
  read_layer_types(config, encoder);
  read_rotaries(config, encoder);
  const bool attention_bias = read_bool(config, "attention_bias", false);
  encoder.biases = {.attention = attention_bias,
                    .ffn = read_bool(config, "mlp_bias", false),
                    .head_dense = read_bool(config, "classifier_bias", false),
                    .decoder = read_bool(config, "decoder_bias", true),
                    .norms = read_bool(config, "norm_bias", false)};
  encoder.embedding_dropout = read_dropout(config, "embedding_dropout", 0.0f);
  encoder.attention_dropout = read_dropout(config, "attention_dropout", 0.0f);
  encoder.attention_output_dropout = encoder.attention_dropout;
  encoder.ffn_dropout = read_dropout(config, "mlp_dropout", 0.0f);
  encoder.pad_token_id = read_int(config, "pad_token_id", 50283, 0, kMaxVocabulary);
  encoder.tied_decoder = read_bool(config, "tie_word_embeddings", true);
  encoder.names = modernbert_names();
  name_family(encoder, "modernbert", "ModernBert");
  encoder.quantize_skip = {"head", "decoder"};
  complete(encoder, config);
  return encoder;
}

std::string modernbert_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "model.", .bare = {"embeddings.", "layers.", "final_norm."}, .ignored = {}};
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family modernbert() { return {"modernbert", read_modernbert, modernbert_canonical_name}; }

}  // namespace qe::model_families
