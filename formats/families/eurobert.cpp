// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// EuroBERT: Llama's layers, seeing in both directions: RMS norms, rotary positions, shared heads of
// keys and values, a SwiGLU block, no biases; the decoder follows the last norm at once. Boizard et
// al. 2025.

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames eurobert_names() {
  const std::string layer = "model.layers.{i}.";
  return {
      .base_prefix = "model.",
      .word_embeddings = "model.embed_tokens",
      .query = layer + "self_attn.q_proj",
      .key = layer + "self_attn.k_proj",
      .value = layer + "self_attn.v_proj",
      .attention_output = layer + "self_attn.o_proj",
      .attention_norm = layer + "input_layernorm",
      .ffn_gate = layer + "mlp.gate_proj",
      .ffn_up = layer + "mlp.up_proj",
      .ffn_down = layer + "mlp.down_proj",
      .ffn_norm = layer + "post_attention_layernorm",
      .final_norm = "model.norm",
      .decoder = "lm_head",
      .decoder_bias = "lm_head.bias",
  };
}

EncoderConfig read_eurobert(const Json& config) {
  EncoderConfig encoder;
  encoder.vocab_size = read_int(config, "vocab_size", 128256, 1, kMaxVocabulary);
  encoder.hidden_size = read_int(config, "hidden_size", 768, 1, kMaxWidth);
  encoder.n_layers = read_int(config, "num_hidden_layers", 12, 1, kMaxLayers);
  encoder.n_heads = read_int(config, "num_attention_heads", 12, 1, kMaxWidth);
  encoder.n_kv_heads = read_int(config, "num_key_value_heads", encoder.n_heads, 1, kMaxWidth);
  encoder.head_dim = read_int(config, "head_dim", 0, 1, kMaxHeadDim);
  encoder.ffn_size = read_int(config, "intermediate_size", 3072, 1, kMaxWidth);
  encoder.gated_ffn = true;
  encoder.max_positions = read_int(config, "max_position_embeddings", 8192, 1, kMaxPositions);
  encoder.rotary = read_rotary(config, 10000.0, encoder.max_positions);
  encoder.activation = read_activation(config, "hidden_act", "silu");
  encoder.norm_epsilon = read_epsilon(config, "rms_norm_eps", 1e-5f);
  encoder.norm_placement = NormPlacement::kPre;
  encoder.rms_norm = true;
  const bool mlp_bias = read_bool(config, "mlp_bias", false);
  encoder.biases = {.attention = read_bool(config, "attention_bias", false),
                    .ffn = mlp_bias,
                    .decoder = mlp_bias,
                    .norms = false};
  encoder.attention_dropout = read_dropout(config, "attention_dropout", 0.0f);
  encoder.pad_token_id = read_int(config, "pad_token_id", 128001, 0, kMaxVocabulary);
  encoder.tied_decoder = read_bool(config, "tie_word_embeddings", false);
  encoder.names = eurobert_names();
  name_family(encoder, "eurobert", "EuroBert");
  encoder.quantize_skip = {"lm_head"};
  complete(encoder, config);
  return encoder;
}

std::string eurobert_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "model.", .bare = {"embed_tokens.", "layers.", "norm."}, .ignored = {}};
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family eurobert() { return {"eurobert", read_eurobert, eurobert_canonical_name}; }

}  // namespace qe::model_families
