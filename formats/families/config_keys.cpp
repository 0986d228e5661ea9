// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/families/config_keys.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace qe::config_keys {
namespace {

const Json* find_value(const Json& config, const char* key) {
  const Json* value = config.find(key);
  return value && !value->is_null() ? value : nullptr;
}

// Beyond these rotary positions turn nothing, or angles are no numbers.
constexpr double kMinTheta = 1.0001;
constexpr double kMaxTheta = 1e12;
constexpr double kMinFactor = 1e-3;
constexpr double kMaxFactor = 1e6;

struct ActivationRow {
  const char* name;
  Activation activation;
};
// transformers' names. The tanh forms differ in how the constant sqrt(2/pi) is written only.
constexpr ActivationRow kActivations[] = {
    {"gelu", Activation::kGelu},
    {"gelu_python", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_python_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_accurate", Activation::kGeluTanh},
    {"quick_gelu", Activation::kQuickGelu},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"mish", Activation::kMish},
    {"hardswish", Activation::kHardSwish},
    {"relu", Activation::kRelu},
    {"relu2", Activation::kRelu2},
    {"relu6", Activation::kRelu6},
    {"leaky_relu", Activation::kLeakyRelu},
    {"tanh", Activation::kTanh},
    {"sigmoid", Activation::kSigmoid},
    {"linear", Activation::kLinear},
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

double read_number(const Json& config, const char* key, double standard, double low, double high) {
  const Json* value = find_value(config, key);
  if (!value) return standard;
  const double number = value->as_double();
  QE_CHECK(number >= low && number <= high, value->where(), ": expected ", low, " to ", high,
           ", got ", value->dump());
  return number;
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

Activation read_activation(const Json& config, const char* key, const char* standard) {
  const Json* value = find_value(config, key);
  const std::string name = value ? value->as_string() : standard;
  std::string known;
  for (const ActivationRow& row : kActivations) {
    if (name == row.name) return row.activation;
    known += cat(known.empty() ? "" : ", ", row.name);
  }
  fail(value->where(), ": activation ", value->dump(), " is not supported; supported: ", known);
}

double read_theta(const Json& config, const char* key, double standard) {
  return read_number(config, key, standard, kMinTheta, kMaxTheta);
}

Rotary rotary_of(const Json& parameters, double standard_theta, int64_t max_positions) {
  Rotary rotary;
  rotary.theta = read_theta(parameters, "rope_theta", standard_theta);
  // transformers' encoders turn all columns whatever it says, or fail.
  QE_CHECK(read_number(parameters, "partial_rotary_factor", 1.0, 0.0, 1.0) == 1.0,
           parameters.at("partial_rotary_factor").where(),
           ": rotary positions of a part of the columns are not supported, got ",
           parameters.at("partial_rotary_factor").dump());
  const Json* type = find_value(parameters, "rope_type");
  if (!type) type = find_value(parameters, "type");
  const std::string name = type ? type->as_string() : "default";
  // "dynamic" changes the base for texts longer than max_positions; there are none.
  if (name == "default" || name == "dynamic") return rotary;
  const auto factor = [&](const char* key) {
    parameters.at(key);
    return read_number(parameters, key, 1.0, kMinFactor, kMaxFactor);
  };
  const auto optional = [&](const char* key, double standard) {
    return read_number(parameters, key, standard, kMinFactor, kMaxFactor);
  };
  rotary.original_positions =
      read_int(parameters, "original_max_position_embeddings", max_positions, 1, kMaxPositions);
  const double growth =
      static_cast<double>(max_positions) / static_cast<double>(rotary.original_positions);
  if (name == "linear") {
    rotary.scaling = Rotary::Scaling::kLinear;
    rotary.factor = factor("factor");
  } else if (name == "llama3") {
    rotary.scaling = Rotary::Scaling::kLlama3;
    rotary.factor = factor("factor");
    rotary.low_factor = factor("low_freq_factor");
    rotary.high_factor = factor("high_freq_factor");
    QE_CHECK(rotary.high_factor > rotary.low_factor, parameters.where(),
             ": expected a high_freq_factor above low_freq_factor ", rotary.low_factor, ", got ",
             rotary.high_factor);
  } else if (name == "yarn") {
    rotary.scaling = Rotary::Scaling::kYarn;
    rotary.factor = optional("factor", growth);
    rotary.attention_factor = optional("attention_factor", 0.0);
    rotary.mscale = optional("mscale", 0.0);
    rotary.mscale_all_dim = optional("mscale_all_dim", 0.0);
    rotary.fast_turns = optional("beta_fast", rotary.fast_turns);
    rotary.slow_turns = optional("beta_slow", rotary.slow_turns);
    rotary.whole_columns = read_bool(parameters, "truncate", true);
  } else if (name == "longrope") {
    // transformers takes long_factor when any text of a batch is longer than that.
    QE_CHECK(rotary.original_positions >= max_positions, parameters.where(),
             ": longrope is supported up to original_max_position_embeddings ",
             rotary.original_positions, ", where the model's position count is ", max_positions);
    QE_CHECK(rotary.original_positions > 1, parameters.where(),
             ": longrope needs an original_max_position_embeddings above 1");
    rotary.scaling = Rotary::Scaling::kLongRope;
    rotary.factor = optional("factor", growth);
    rotary.attention_factor = optional("attention_factor", 0.0);
    for (const Json& item : parameters.at("short_factor").items()) {
      const double divisor = item.as_double();
      QE_CHECK(divisor >= kMinFactor && divisor <= kMaxFactor, item.where(), ": expected ",
               kMinFactor, " to ", kMaxFactor, ", got ", item.dump());
      rotary.divisors.push_back(divisor);
    }
  } else {
    fail(type->where(), ": ", type->dump(), " is not supported; supported: default, linear, ",
         "dynamic, yarn, llama3, longrope");
  }
  return rotary;
}

Rotary read_rotary(const Json& config, double standard_theta, int64_t max_positions) {
  const double theta = read_theta(config, "rope_theta", standard_theta);
  const Json* original = find_value(config, "original_max_position_embeddings");
  QE_CHECK(!original, original->where(), ": is supported inside of rope_parameters only, got ",
           original->dump());
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (const Json* parameters = find_value(config, key)) {
      return rotary_of(*parameters, theta, max_positions);
    }
  }
  Rotary rotary;
  rotary.theta = theta;
  return rotary;
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
  check_choice(config, "position_embedding_type", defaults.position_types);
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

void name_family(EncoderConfig& encoder, const std::string& model_type,
                 const std::string& classes) {
  std::string module = model_type;
  std::replace(module.begin(), module.end(), '-', '_');
  encoder.model_type = model_type;
  encoder.masked_lm_class = classes + "ForMaskedLM";
  encoder.parent_library = cat("transformers.models.", module, ".modeling_", module);
}

void skip_padding(EncoderConfig& encoder) {
  encoder.position_ids = PositionIds::kSkipPadding;
  encoder.position_offset = encoder.pad_token_id + 1;
}

void complete(EncoderConfig& encoder, const Json& config) {
  if (const Json* range = find_value(config, "initializer_range")) {
    encoder.initializer_range = static_cast<float>(range->as_double());
  }
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
  for (const Rotary* rotary : {&encoder.rotary, &encoder.local_rotary}) {
    if (!*rotary) continue;
    QE_CHECK(encoder.head_dim % 2 == 0, config.where(),
             ": rotary positions need an even number of columns a head, got ", encoder.head_dim);
    const auto n_divisors = static_cast<int64_t>(rotary->divisors.size());
    QE_CHECK(rotary->scaling != Rotary::Scaling::kLongRope || n_divisors == encoder.head_dim / 2,
             config.where(), ": expected ", encoder.head_dim / 2, " factors of longrope, got ",
             n_divisors);
  }
  QE_CHECK(encoder.head_dim <= kMaxHeadDim, config.where(), ": hidden size ", encoder.hidden_size,
           " over ", encoder.n_heads, " attention heads gives ", encoder.head_dim,
           " columns a head, at most ", kMaxHeadDim, " are supported");
  QE_CHECK(encoder.pad_token_id < encoder.vocab_size, config.where(), ": pad_token_id ",
           encoder.pad_token_id, " is outside the vocabulary of ", encoder.vocab_size);
  QE_CHECK(encoder.max_length() >= 1, config.where(), ": ", encoder.max_positions,
           " positions from offset ", encoder.position_offset, " leave none for tokens");
}

}  // namespace qe::config_keys
