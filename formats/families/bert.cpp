// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// BERT: post-norm, learned positions from 0, two token types, GELU, a head of dense + LayerNorm
// whose output matrix is the word table. Devlin et al. 2018; transformers' BertForMaskedLM.

#include "formats/families/config_keys.h"
#include "kernels/core/error.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames bert_names() {
  const std::string layer = "bert.encoder.layer.{i}.";
  return {
      .base_prefix = "bert.",
      .word_embeddings = "bert.embeddings.word_embeddings",
      .position_embeddings = "bert.embeddings.position_embeddings",
      .token_type_embeddings = "bert.embeddings.token_type_embeddings",
      .embedding_norm = "bert.embeddings.LayerNorm",
      .query = layer + "attention.self.query",
      .key = layer + "attention.self.key",
      .value = layer + "attention.self.value",
      .attention_output = layer + "attention.output.dense",
      .attention_norm = layer + "attention.output.LayerNorm",
      .ffn_up = layer + "intermediate.dense",
      .ffn_down = layer + "output.dense",
      .ffn_norm = layer + "output.LayerNorm",
      .head_dense = "cls.predictions.transform.dense",
      .head_norm = "cls.predictions.transform.LayerNorm",
      .decoder = "cls.predictions.decoder",
      .decoder_bias = "cls.predictions.bias",
  };
}

void refuse_unsupported(const Json& config) {
  refuse_flag(config, "is_decoder", "masked language models attend in both directions");
  refuse_flag(config, "add_cross_attention", "there is no second input to attend to");
  const Json* positions = config.find("position_embedding_type");
  QE_CHECK(!positions || positions->is_null() || positions->as_string() == "absolute",
           positions->where(), ": ", positions->dump(), " is not supported; supported: absolute");
  const Json* pruned = config.find("pruned_heads");
  QE_CHECK(!pruned || pruned->is_null() || pruned->members().empty(), pruned->where(),
           ": pruned heads are not supported, got ", pruned->dump());
}

EncoderConfig read_bert(const Json& config) {
  refuse_unsupported(config);
  EncoderConfig encoder;
  encoder.model_type = "bert";
  encoder.vocab_size = read_int(config, "vocab_size", 30522, 1, kMaxVocabulary);
  encoder.hidden_size = read_int(config, "hidden_size", 768, 1, kMaxWidth);
  encoder.n_layers = read_int(config, "num_hidden_layers", 12, 1, kMaxLayers);
  encoder.n_heads = read_int(config, "num_attention_heads", 12, 1, kMaxWidth);
  encoder.ffn_size = read_int(config, "intermediate_size", 3072, 1, kMaxWidth);
  encoder.max_positions = read_int(config, "max_position_embeddings", 512, 1, kMaxPositions);
  encoder.n_token_types = read_int(config, "type_vocab_size", 2, 1, kMaxPositions);
  encoder.activation = read_activation(config, "hidden_act", "gelu");
  encoder.head_activation = encoder.activation;
  encoder.norm_epsilon = read_epsilon(config, "layer_norm_eps", 1e-12f);
  encoder.hidden_dropout = read_dropout(config, "hidden_dropout_prob", 0.1f);
  encoder.attention_dropout = read_dropout(config, "attention_probs_dropout_prob", 0.1f);
  encoder.pad_token_id = read_int(config, "pad_token_id", 0, 0, kMaxVocabulary);
  encoder.tied_decoder = read_bool(config, "tie_word_embeddings", true);
  encoder.names = bert_names();
  encoder.masked_lm_class = "BertForMaskedLM";
  encoder.parent_library = "transformers.models.bert.modeling_bert";
  encoder.default_lora_targets = {"query", "value"};
  encoder.quantize_skip = {"cls"};
  check_sizes(encoder, config);
  return encoder;
}

/// Files of BertForPreTraining also hold the next-sentence head and the pooler; files of BertModel
/// lack the prefix; the first conversions from TensorFlow say gamma and beta.
std::string bert_canonical_name(const std::string& stored) {
  std::string name = stored;
  if (name.starts_with("embeddings.") || name.starts_with("encoder.") ||
      name.starts_with("pooler.")) {
    name = "bert." + name;
  }
  if (name.starts_with("cls.seq_relationship.") || name.starts_with("bert.pooler.") ||
      name == "bert.embeddings.position_ids") {
    return "";
  }
  if (name == "cls.predictions.decoder.bias") return "cls.predictions.bias";
  const auto rename_ending = [&](std::string_view old_end, std::string_view new_end) {
    if (name.ends_with(old_end)) {
      name.replace(name.size() - old_end.size(), old_end.size(), new_end);
    }
  };
  rename_ending("LayerNorm.gamma", "LayerNorm.weight");
  rename_ending("LayerNorm.beta", "LayerNorm.bias");
  return name;
}

}  // namespace

Family bert() { return {"bert", read_bert, bert_canonical_name}; }

}  // namespace qe::model_families
