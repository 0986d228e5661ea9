// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What an encoder is, as data: the one description that the engine sees. formats/families/*.cpp
// fill it from a config.json; everything particular to a family (tensor names included) is in here
// as values.

#include <cstdint>
#include <string>
#include <vector>

#include "formats/json.h"
#include "kernels/core/activation.h"

namespace qe {

/// Where a layer normalizes: what leaves a branch's residual sum, or what enters the branch.
enum class NormPlacement { kPost, kPre };

/// Which position a token has in the position table.
enum class PositionIds {
  kFromStart,    ///< its index in the text
  kSkipPadding,  ///< RoBERTa's: the count of ids up to it that are not the padding id, which itself
                 ///< has position pad_token_id, wherever it stands
};

/// Rotary positions: at position p, columns j and j + D/2 of a head are turned by p f_j, where f_j
/// = theta^(-2j/D) unless it is scaled, as transformers' modeling_rope_utils does.
struct Rotary {
  enum class Scaling {
    kNone,
    kLinear,    ///< f_j / factor
    kLlama3,    ///< linear for wavelengths above original_positions / low_factor, none below
                ///< original_positions / high_factor, mixed between
    kYarn,      ///< mixed from none where original_positions make fast_turns turns and more to
                ///< linear where they make slow_turns (Peng et al. 2023, arXiv:2309.00071)
    kLongRope,  ///< f_j / divisors[j]
  };
  double theta = 0.0;  ///< 0: there are no rotary positions
  Scaling scaling = Scaling::kNone;
  double factor = 1.0;
  double low_factor = 1.0, high_factor = 1.0;
  double fast_turns = 32.0, slow_turns = 1.0;
  bool whole_columns = true;  ///< the columns where mixing begins and ends are rounded outwards
  int64_t original_positions = 0;
  std::vector<double> divisors;
  /// What cosines and sines are multiplied with. 0: what YaRN or LongRoPE derive from factor, and
  /// YaRN from mscale and mscale_all_dim, where both are above 0.
  double attention_factor = 1.0;
  double mscale = 0.0, mscale_all_dim = 0.0;

  explicit operator bool() const { return theta > 0.0; }
  bool operator==(const Rotary&) const = default;
};

/// Paths of modules and tensors in the Hugging Face model, "{i}" standing for the layer index (and
/// "{j}" for the index in its group, where layers come in groups). A Linear's weight is path +
/// ".weight", its bias path + ".bias"; likewise LayerNorm. "" where a family has no such part.
struct EncoderNames {
  std::string base_prefix;            ///< "bert."; bare encoders lack it
  std::string word_embeddings;        ///< module path
  std::string position_embeddings;    ///< "" when there are none
  std::string token_type_embeddings;  ///< "" when there are none
  std::string embedding_norm;
  std::string embedding_projection;  ///< Linear from the tables' width to the layers'
  std::string query;  ///< alone, without key and value: one Linear of all three, in that order
  std::string key, value, attention_output, attention_norm;
  std::string relative_bias;  ///< Embedding of distance buckets by heads
  /// Disentangled attention: Embedding of distances, its norm, and Linears of its own that make
  /// queries and keys of it; without them query and key do.
  std::string distances, distance_norm, distance_query, distance_key;
  std::string ffn_gate;  ///< of a gated block: the Linear whose output is activated
  std::string ffn_up;    ///< in a gated block without ffn_gate: one Linear of both
  std::string ffn_down, ffn_norm;
  std::string final_norm;  ///< after the last layer
  std::string convolution, convolution_norm;
  std::string head_dense, head_norm;
  std::string decoder;       ///< module path of the output embedding (tied)
  std::string decoder_bias;  ///< tensor name; where there is none, or an untied decoder has both,
                             ///< decoder + ".bias" is it
  bool decoder_lacks_bias = false;  ///< decoder_bias belongs to the head, decoder has none at all

  /// Paths of all Linears that LoRA may adapt.
  std::vector<std::string> linears() const;
  /// Paths of the modules that are none.
  std::vector<std::string> other_modules() const;
  bool operator==(const EncoderNames&) const = default;
};

/// Which parts have a bias vector.
struct EncoderBiases {
  bool embedding_projection = true;
  bool attention = true;  ///< query, key, value, output
  bool ffn = true;
  bool head_dense = true;
  bool decoder = true;
  bool norms = true;
  bool operator==(const EncoderBiases&) const = default;
};

struct EncoderConfig {
  std::string model_type;      ///< "bert"
  int64_t vocab_size = 0;      ///< rows of the word table (V)
  int64_t embedding_size = 0;  ///< columns of the tables (E)
  int64_t hidden_size = 0;     ///< C
  int64_t head_size = 0;       ///< columns of the decoder: C or E
  int64_t n_layers = 0;        ///< L
  /// Layers with weights of their own: layer i has those of layer_weights(i).
  int64_t n_distinct_layers = 0;
  int64_t n_inner_layers = 1;  ///< ALBERT: layers that make a group, which is repeated as a whole
  int64_t n_heads = 0;         ///< H, of queries
  int64_t n_kv_heads = 0;      ///< of keys and values: a divisor of H
  int64_t head_dim = 0;        ///< D
  int64_t ffn_size = 0;        ///< F
  bool gated_ffn = false;      ///< down(f(gate x) * up x), not down(f(up x))
  int64_t max_positions = 0;   ///< rows of the position table, or longest sequence
  PositionIds position_ids = PositionIds::kFromStart;
  int64_t position_offset = 0;  ///< position id of a sequence's first token
  int64_t n_token_types = 0;    ///< 0: no token type embeddings
  Rotary rotary;                ///< turns queries and keys
  Rotary local_rotary;          ///< of layers with local attention; none: the same
  /// Layers whose queries see keys up to local_window away only; empty: none.
  std::vector<bool> local_layers;
  int64_t local_window = 0;
  /// Rows of T5's relative attention bias, which all layers add; 0: there is none.
  int64_t n_relative_buckets = 0;
  /// Disentangled attention (DeBERTa): rows of the embedding of distances, twice the span; 0: there
  /// is none. Distances beyond distance_buckets / 2 share rows by their logarithm (0: none do), up
  /// to max_distance.
  int64_t n_distance_rows = 0;
  int64_t distance_buckets = 0;
  int64_t max_distance = 0;
  NormPlacement norm_placement = NormPlacement::kPost;
  bool rms_norm = false;             ///< of all norms: RMSNorm
  bool first_attention_norm = true;  ///< false: layer 0 reads the embeddings as they are
  /// norm(output + f(convolution of the embeddings)) follows the first layer: the tokens that it
  /// reads, odd; 0: none.
  int64_t convolution_width = 0;
  int64_t convolution_groups = 1;  ///< of columns that see each other
  Activation convolution_activation = Activation::kTanh;
  EncoderBiases biases;
  Activation activation = Activation::kGelu;
  Activation head_activation = Activation::kGelu;
  float norm_epsilon = 1e-12f;
  float embedding_dropout = 0.0f;
  float attention_dropout = 0.0f;  ///< of the probabilities
  float attention_output_dropout = 0.0f;
  float ffn_dropout = 0.0f;  ///< of what ffn_down reads
  float ffn_output_dropout = 0.0f;
  bool norm_after_projection = false;  ///< the embedding norm follows the projection
  int64_t pad_token_id = 0;
  /// ESM's token dropout: rows of this id are 0, the others of a text make up for it. -1: none.
  int64_t dropped_token_id = -1;
  bool tied_decoder = true;
  float initializer_range = 0.02f;  ///< deviation of new weights
  EncoderNames names;

  // How Hugging Face sees the family.
  std::string masked_lm_class;                    ///< "BertForMaskedLM"
  std::string parent_library;                     ///< "transformers.models.bert.modeling_bert"
  std::vector<std::string> default_lora_targets;  ///< peft's for this model_type; empty: none
  std::vector<std::string>
      quantize_skip;  ///< module prefixes kept unquantized on creation: {"cls"}

  /// Columns of queries, keys and values side by side.
  int64_t qkv_size() const { return (n_heads + 2 * n_kv_heads) * head_dim; }
  bool is_local(int64_t layer) const {
    return !local_layers.empty() && local_layers[static_cast<size_t>(layer)];
  }
  int64_t layer_weights(int64_t layer) const;
  /// The tensor that only a model with a masked-LM head has; "" where the head has none of its own.
  std::string head_tensor() const {
    if (!names.head_dense.empty()) return names.head_dense + ".weight";
    return tied_decoder ? "" : names.decoder + ".weight";
  }
  /// Longest sequence, special tokens included.
  int64_t max_length() const { return max_positions - position_offset; }
  bool operator==(const EncoderConfig&) const = default;
};

/// Reads `folder`/config.json through the family registry. Errors name the file, the key and the
/// value: unknown model_type (with the list of known ones), missing or ill-typed keys, sizes out of
/// range (also hidden_size not divisible by heads, products that overflow), unsupported settings.
EncoderConfig read_encoder_config(const std::string& folder);

/// `pattern` with "{i}" replaced by the layer index; in groups of n_inner, "{i}" by the group's and
/// "{j}" by the index in it.
std::string layer_name(const std::string& pattern, int64_t layer, int64_t n_inner = 1);

/// The names that a family's canonical_name stands for: of a.{b,c}.d, a.b.d and a.c.d.
std::vector<std::string> split_name(const std::string& canonical);

/// One supported family.
struct Family {
  const char* model_type;
  EncoderConfig (*read)(const Json& config);
  /// Maps a stored tensor's name to the name the engine looks up ("" to ignore it): legacy renames,
  /// missing prefixes of bare encoders. "a.{b,c}.d" for one that is a.b.d and a.c.d, its rows
  /// divided evenly in that order.
  std::string (*canonical_name)(const std::string& stored_name);
};
/// All families; one line each in formats/families/families.def.
const std::vector<Family>& families();
const Family& family_of(const std::string& model_type);

}  // namespace qe
