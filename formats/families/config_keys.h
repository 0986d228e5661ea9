// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Reading the keys of a config.json: defaults, ranges, and errors that name file, key and value.
// For the families' readers.

#include <cstdint>
#include <string>

#include "formats/encoder_config.h"
#include "formats/json.h"

namespace qe::config_keys {

// Largest sizes that are believed; with them every product of two or three stays within int64.
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 26;
inline constexpr int64_t kMaxWidth = int64_t{1} << 17;  ///< hidden_size, intermediate_size
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxPositions = int64_t{1} << 16;  ///< rows in a random-number counter
inline constexpr int64_t kMaxHeadDim = 1024;

/// The integer `key`, or `standard` when it is absent or null. Error outside [low, high].
int64_t read_int(const Json& config, const char* key, int64_t standard, int64_t low, int64_t high);

/// A probability in [0, 1).
float read_dropout(const Json& config, const char* key, float standard);

/// A number in [low, high], or `standard`.
double read_number(const Json& config, const char* key, double standard, double low, double high);

/// A normalization epsilon: in (0, 1) and not lost in fp32.
float read_epsilon(const Json& config, const char* key, float standard);

bool read_bool(const Json& config, const char* key, bool standard);

/// Error unless the flag is absent, null or false: what it asks for is not supported, and why.
void refuse_flag(const Json& config, const char* key, const char* reason);

/// Error when heads were pruned: layers would differ in size.
void refuse_pruned_heads(const Json& config);

/// `key` as an activation; Error names the supported ones.
Activation read_activation(const Json& config, const char* key, const char* standard);

/// What a family takes for keys that a config.json leaves out.
struct BertDefaults {
  int64_t vocab_size = 30522;
  int64_t hidden_size = 768;
  int64_t n_layers = 12;
  int64_t n_heads = 12;
  int64_t ffn_size = 3072;
  int64_t max_positions = 512;
  int64_t n_token_types = 2;
  const char* activation = "gelu";
  float dropout = 0.1f;
  int64_t pad_token_id = 0;
  const char* position_types = "absolute";  ///< of position_embedding_type, separated by '|'
};
/// An EncoderConfig with what the keys of BERT's config.json say, which many families share: sizes,
/// activation (the head's too), epsilon, dropouts everywhere, pad id, tied decoder. Throws Error
/// for what makes no masked language model (decoders), for other kinds of positions, and for pruned
/// heads.
EncoderConfig read_bert_keys(const Json& config, const BertDefaults& defaults);

/// How Hugging Face calls the family: its model_type, and what its class names begin with.
void name_family(EncoderConfig& encoder, const std::string& model_type, const std::string& classes);

/// Positions counted as RoBERTa does, from pad_token_id + 1 on.
void skip_padding(EncoderConfig& encoder);

/// The last step of reading: sets what is still 0 (embedding_size and head_size to hidden_size,
/// n_distinct_layers to n_layers, n_kv_heads to n_heads, head_dim to
/// hidden_size / n_heads), and makes the checks that join several keys: hidden_size a
/// multiple of the heads, head_dim's limit and what rotary positions ask of it, a pad id inside the
/// vocabulary, at least one usable position.
void complete(EncoderConfig& encoder, const Json& config);

/// The base of rotary positions.
double read_theta(const Json& config, const char* key, double standard);
/// Rotary positions from rope_scaling (transformers 4) or rope_parameters (5), and rope_theta
/// beside them where they have none. max_positions: the model's.
Rotary read_rotary(const Json& config, double standard_theta, int64_t max_positions);
/// The same from the object that either of them is: {"rope_type", "rope_theta", "factor" ...}.
Rotary rotary_of(const Json& parameters, double standard_theta, int64_t max_positions);

/// Error unless `key` is absent, null or one of `supported` (separated by '|').
void check_choice(const Json& config, const char* key, const char* supported);

}  // namespace qe::config_keys
