// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/families/config_keys.h"

#include "kernels/core/error.h"

namespace qe::config_keys {
namespace {

const Json* find_value(const Json& config, const char* key) {
  const Json* value = config.find(key);
  return value && !value->is_null() ? value : nullptr;
}

struct ActivationRow {
  const char* name;
  HiddenAct activation;
};
// transformers' names. The tanh forms differ in how the constant sqrt(2/pi) is written only.
constexpr ActivationRow kActivations[] = {
    {"gelu", HiddenAct::kGelu},          {"gelu_python", HiddenAct::kGelu},
    {"gelu_new", HiddenAct::kGeluTanh},  {"gelu_pytorch_tanh", HiddenAct::kGeluTanh},
    {"gelu_fast", HiddenAct::kGeluTanh}, {"gelu_accurate", HiddenAct::kGeluTanh},
    {"relu", HiddenAct::kRelu},          {"silu", HiddenAct::kSilu},
    {"swish", HiddenAct::kSilu},
};

}  // namespace

int64_t read_int(const Json& config, const char* key, int64_t standard, int64_t low, int64_t high) {
  const Json* value = find_value(config, key);
  if (!value) return standard;
  const int64_t number = value->as_int();
  QE_CHECK(number >= low && number <= high, value->where(), ": expected ", low, " to ", high,
           ", got ", number);
  return number;
}

float read_dropout(const Json& config, const char* key, float standard) {
  const Json* value = find_value(config, key);
  if (!value) return standard;
  const double number = value->as_double();
  QE_CHECK(number >= 0.0 && number < 1.0, value->where(),
           ": expected a probability in [0, 1), got ", value->dump());
  return static_cast<float>(number);
}

float read_epsilon(const Json& config, const char* key, float standard) {
  const Json* value = find_value(config, key);
  if (!value) return standard;
  const auto number = static_cast<float>(value->as_double());
  QE_CHECK(number > 0.0f && number < 1.0f, value->where(),
           ": expected an epsilon in (0, 1) of fp32, got ", value->dump());
  return number;
}

bool read_bool(const Json& config, const char* key, bool standard) {
  const Json* value = find_value(config, key);
  return value ? value->as_bool() : standard;
}

void refuse_flag(const Json& config, const char* key, const char* reason) {
  QE_CHECK(!read_bool(config, key, false), config.at(key).where(),
           ": true is not supported: ", reason);
}

void refuse_pruned_heads(const Json& config) {
  const Json* pruned = find_value(config, "pruned_heads");
  if (!pruned) return;
  QE_CHECK(pruned->members().empty(), pruned->where(), ": pruned heads are not supported, got ",
           pruned->dump());
}

HiddenAct read_activation(const Json& config, const char* key, const char* standard) {
  const Json* value = find_value(config, key);
  const std::string name = value ? value->as_string() : standard;
  std::string known;
  for (const ActivationRow& row : kActivations) {
    if (name == row.name) return row.activation;
    known += cat(known.empty() ? "" : ", ", row.name);
  }
  fail(value->where(), ": activation ", value->dump(), " is not supported; supported: ", known);
}

double rope_theta_of(const Json& parameters, double standard) {
  check_choice(parameters, "rope_type", "default");
  const Json* theta = find_value(parameters, "rope_theta");
  if (!theta) return standard;
  const double value = theta->as_double();
  QE_CHECK(value > 1.0 && value < 1e12, theta->where(), ": expected a number above 1, got ",
           theta->dump());
  return value;
}

double read_rope_theta(const Json& config, double standard) {
  const Json* scaling = find_value(config, "rope_scaling");
  QE_CHECK(!scaling, scaling->where(), ": scaled rotary positions are not supported, got ",
           scaling->dump());
  const double flat = rope_theta_of(config, standard);
  const Json* parameters = find_value(config, "rope_parameters");
  return parameters ? rope_theta_of(*parameters, flat) : flat;
}

void check_choice(const Json& config, const char* key, const char* supported) {
  const Json* value = find_value(config, key);
  if (!value) return;
  const std::string wanted = "|" + value->as_string() + "|";
  QE_CHECK(cat("|", supported, "|").find(wanted) != std::string::npos, value->where(), ": ",
           value->dump(), " is not supported; supported: ", supported);
}

EncoderConfig read_bert_keys(const Json& config, const BertDefaults& defaults) {
  refuse_flag(config, "is_decoder", "masked language models attend in both directions");
  refuse_flag(config, "add_cross_attention", "there is no second input to attend to");
  refuse_pruned_heads(config);
  EncoderConfig encoder;
  encoder.vocab_size = read_int(config, "vocab_size", defaults.vocab_size, 1, kMaxVocabulary);
  encoder.hidden_size = read_int(config, "hidden_size", defaults.hidden_size, 1, kMaxWidth);
  encoder.n_layers = read_int(config, "num_hidden_layers", defaults.n_layers, 1, kMaxLayers);
  encoder.n_heads = read_int(config, "num_attention_heads", defaults.n_heads, 1, kMaxWidth);
  encoder.ffn_size = read_int(config, "intermediate_size", defaults.ffn_size, 1, kMaxWidth);
  encoder.max_positions =
      read_int(config, "max_position_embeddings", defaults.max_positions, 1, kMaxPositions);
  encoder.n_token_types = read_int(config, "type_vocab_size", defaults.n_token_types,
                                   defaults.n_token_types > 0 ? 1 : 0, kMaxPositions);
  encoder.activation = read_activation(config, "hidden_act", defaults.activation);
  encoder.head_activation = encoder.activation;
  encoder.norm_epsilon = read_epsilon(config, "layer_norm_eps", 1e-12f);
  const float dropout = read_dropout(config, "hidden_dropout_prob", defaults.dropout);
  encoder.embedding_dropout = dropout;
  encoder.attention_output_dropout = dropout;
  encoder.ffn_output_dropout = dropout;
  encoder.attention_dropout =
      read_dropout(config, "attention_probs_dropout_prob", defaults.dropout);
  encoder.pad_token_id = read_int(config, "pad_token_id", defaults.pad_token_id, 0, kMaxVocabulary);
  encoder.tied_decoder = read_bool(config, "tie_word_embeddings", true);
  return encoder;
}

void skip_padding(EncoderConfig& encoder) {
  encoder.position_ids = PositionIds::kSkipPadding;
  encoder.position_offset = encoder.pad_token_id + 1;
}

void complete(EncoderConfig& encoder, const Json& config) {
  if (encoder.embedding_size == 0) encoder.embedding_size = encoder.hidden_size;
  if (encoder.head_size == 0) encoder.head_size = encoder.hidden_size;
  if (encoder.n_distinct_layers == 0) encoder.n_distinct_layers = encoder.n_layers;
  if (encoder.n_kv_heads == 0) encoder.n_kv_heads = encoder.n_heads;
  QE_CHECK(encoder.n_heads % encoder.n_kv_heads == 0, config.where(), ": ", encoder.n_heads,
           " attention heads are not a multiple of ", encoder.n_kv_heads, " heads of keys");
  QE_CHECK(encoder.head_dim > 0 || encoder.hidden_size % encoder.n_heads == 0, config.where(),
           ": hidden size ", encoder.hidden_size, " is not a multiple of the ", encoder.n_heads,
           " attention heads");
  if (encoder.head_dim == 0) encoder.head_dim = encoder.hidden_size / encoder.n_heads;
  QE_CHECK(encoder.rope_theta == 0.0 || encoder.head_dim % 2 == 0, config.where(),
           ": rotary positions need an even number of columns a head, got ", encoder.head_dim);
  QE_CHECK(encoder.head_dim <= kMaxHeadDim, config.where(), ": hidden size ", encoder.hidden_size,
           " over ", encoder.n_heads, " attention heads gives ", encoder.head_dim,
           " columns a head, at most ", kMaxHeadDim, " are supported");
  QE_CHECK(encoder.pad_token_id < encoder.vocab_size, config.where(), ": pad_token_id ",
           encoder.pad_token_id, " is outside the vocabulary of ", encoder.vocab_size);
  QE_CHECK(encoder.max_length() >= 1, config.where(), ": ", encoder.max_positions,
           " positions from offset ", encoder.position_offset, " leave none for tokens");
}

}  // namespace qe::config_keys
