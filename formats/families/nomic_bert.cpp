// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// NomicBERT: BERT with rotary positions, a SwiGLU block and no biases inside of the layers.
// Nussbaum et al. 2024. Files come in two namings: transformers 5's, and that of the published
// checkpoints, whose config.json has GPT-2's keys and whose query, key and value are one matrix.
// The Linears keep the names of the file, which an adapter for it has, too.

#include <algorithm>

#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"
#include "kernels/core/error.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames nomic_bert_names() {
  const std::string layer = "nomic_bert.layers.{i}.";
  return {
      .base_prefix = "nomic_bert.",
      .word_embeddings = "nomic_bert.embeddings.word_embeddings",
      .token_type_embeddings = "nomic_bert.embeddings.token_type_embeddings",
      .embedding_norm = "nomic_bert.embeddings.LayerNorm",
      .query = layer + "self_attn.q_proj",
      .key = layer + "self_attn.k_proj",
      .value = layer + "self_attn.v_proj",
      .attention_output = layer + "self_attn.o_proj",
      .attention_norm = layer + "post_attention_layernorm",
      .ffn_gate = layer + "mlp.gate_proj",
      .ffn_up = layer + "mlp.up_proj",
      .ffn_down = layer + "mlp.down_proj",
      .ffn_norm = layer + "post_mlp_layernorm",
      .head_dense = "cls.predictions.transform.dense",
      .head_norm = "cls.predictions.transform.layer_norm",
      .decoder = "cls.predictions.decoder",
      .decoder_bias = "cls.predictions.bias",
  };
}

/// GPT-2's keys, as the published checkpoints have them.
EncoderConfig read_checkpoint_keys(const Json& config) {
  for (const char* key :
       {"prenorm", "qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias", "use_rms_norm",
        "parallel_block", "rotary_emb_interleaved", "causal", "scale_attn_by_inverse_layer_idx"}) {
    refuse_flag(config, key, "no published NomicBERT for masked words has it");
  }
  read_int(config, "moe_every_n_layers", 0, 0, 0);
  const Json* decay = config.find("rotary_emb_scale_base");
  QE_CHECK(!decay || decay->is_null(), decay->where(),
           ": rotary positions that decay are not supported, got ", decay->dump());
  check_choice(config, "activation_function", "swiglu");
  EncoderConfig encoder;
  encoder.vocab_size = read_int(config, "vocab_size", 30528, 1, kMaxVocabulary);
  const int64_t multiple = read_int(config, "pad_vocab_size_multiple", 1, 1, kMaxPositions);
  encoder.vocab_size = (encoder.vocab_size + multiple - 1) / multiple * multiple;
  encoder.hidden_size = read_int(config, "n_embd", 768, 1, kMaxWidth);
  encoder.n_layers = read_int(config, "n_layer", 12, 1, kMaxLayers);
  encoder.n_heads = read_int(config, "n_head", 12, 1, kMaxWidth);
  encoder.ffn_size = read_int(config, "n_inner", 3072, 1, kMaxWidth);
  encoder.max_positions = read_int(config, "n_positions", 2048, 1, kMaxPositions);
  encoder.n_token_types = read_int(config, "type_vocab_size", 2, 1, kMaxPositions);
  encoder.activation = Activation::kSilu;
  encoder.norm_epsilon = read_epsilon(config, "layer_norm_epsilon", 1e-12f);
  encoder.embedding_dropout = read_dropout(config, "embd_pdrop", 0.0f);
  encoder.attention_dropout = read_dropout(config, "attn_pdrop", 0.0f);
  encoder.attention_output_dropout = read_dropout(config, "resid_pdrop", 0.0f);
  encoder.ffn_output_dropout = encoder.attention_output_dropout;
  encoder.pad_token_id = read_int(config, "pad_token_id", 0, 0, kMaxVocabulary);
  encoder.tied_decoder = read_bool(config, "tie_word_embeddings", true);
  const Json* fraction = config.find("rotary_emb_fraction");
  QE_CHECK(!fraction || fraction->as_double() == 1.0, fraction->where(),
           ": rotary positions of a part of the columns are not supported, got ", fraction->dump());
  encoder.rotary.theta = read_theta(config, "rotary_emb_base", 1000.0);
  // Scaled for texts longer than the trained ones only (dynamic NTK): there are none.
  const Json* scaling = config.find("rotary_scaling_factor");
  if (scaling && !scaling->is_null()) {
    encoder.max_positions = std::min(
        encoder.max_positions, read_int(config, "max_trained_positions", 2048, 1, kMaxPositions));
  }
  return encoder;
}

EncoderConfig read_transformers_keys(const Json& config) {
  EncoderConfig encoder = read_bert_keys(
      config, {.vocab_size = 30528, .max_positions = 2048, .activation = "silu", .dropout = 0.0f});
  encoder.head_dim = read_int(config, "head_dim", 0, 1, kMaxHeadDim);
  encoder.rotary = read_rotary(config, 1000.0, encoder.max_positions);
  return encoder;
}

EncoderConfig read_nomic_bert(const Json& config) {
  EncoderConfig encoder =
      config.find("n_embd") ? read_checkpoint_keys(config) : read_transformers_keys(config);
  encoder.head_activation = encoder.activation;
  encoder.gated_ffn = true;
  encoder.biases.attention = false;
  encoder.biases.ffn = false;
  encoder.names = nomic_bert_names();
  name_family(encoder, "nomic_bert", "NomicBert");
  encoder.quantize_skip = {"cls"};
  complete(encoder, config);
  return encoder;
}

std::string nomic_bert_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "nomic_bert.",
      .bare = {"embeddings.", "layers.", "pooler.", "emb_ln.", "encoder."},
      .ignored = {"nomic_bert.pooler."},
      .beginnings = {{"bert.", "nomic_bert."}},
      .parts = {{".emb_ln.", ".embeddings.LayerNorm."},
                {".encoder.layers.", ".layers."},
                {".attn.Wqkv.", ".self_attn.{q_proj,k_proj,v_proj}."},
                {".attn.out_proj.", ".self_attn.o_proj."},
                {".mlp.fc11.", ".mlp.up_proj."},
                {".mlp.fc12.", ".mlp.gate_proj."},
                {".mlp.fc2.", ".mlp.down_proj."},
                {".norm1.", ".post_attention_layernorm."},
                {".norm2.", ".post_mlp_layernorm."}},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family nomic_bert() { return {"nomic_bert", read_nomic_bert, nomic_bert_canonical_name}; }

}  // namespace qe::model_families
