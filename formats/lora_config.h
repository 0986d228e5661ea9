// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// LoRA settings as peft has them (LoraConfig): which modules are adapted, with which rank and
// scale. The same keys stand in adapter_config.json and in run configurations.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/encoder_config.h"
#include "formats/json.h"
#include "formats/regex.h"

namespace qe {

/// The settings of adapter_config.json that this project honours.
struct AdapterConfig {
  int64_t r = 8;
  double lora_alpha = 8.0;
  double lora_dropout = 0.0;
  bool use_rslora = false;  ///< scaled by alpha / sqrt(r), not alpha / r
  bool use_dora = false;    ///< rows have magnitudes of their own (kernels/ops/dora.h)
  bool all_linear = false;  ///< target_modules == "all-linear" as given by a user
  std::vector<std::string> target_modules;  ///< path endings
  std::string target_regex;                 ///< instead of endings: matches the whole path
  std::vector<std::string> exclude_modules;
  std::string exclude_regex;
  std::vector<int64_t> layers_to_transform;  ///< empty: all layers
  std::vector<std::string> layers_pattern;  ///< what stands before a layer's index; empty: any name
  /// Exceptions from r and lora_alpha: the first pattern that matches an ending of the path, in
  /// the order of the file.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  enum class Init {
    kDefault,     ///< A uniform as nn.Linear, B zero
    kGaussian,    ///< A normal with deviation 1 / r, B zero
    kRandom,      ///< both as nn.Linear: the adapter changes the model from the start
    kOrthogonal,  ///< both random, with B A = 0
    // Both from the weight, which is frozen without them:
    kPissa,  ///< its largest singular values and their vectors
    kOlora,  ///< the beginnings of Q and R
    /// Both from what 4 bits lose of the weight; the base stays.
    kLoftq,
  };
  Init init = Init::kDefault;
  /// kPissa: of subspace iteration ("pissa_niter_N"); -1: the singular values as they are.
  int64_t pissa_iterations = -1;
  enum class Bias {
    kNone,
    kAll,       ///< every bias of the model is trained and stored, norms' included
    kLoraOnly,  ///< those of adapted modules
  };
  Bias bias = Bias::kNone;
  /// Endings of paths: such modules are trained and stored in full, with all that is in them.
  std::vector<std::string> modules_to_save;
  /// Tokens whose rows of a table are trained, by the end of its module's path; "": the word table.
  std::vector<std::pair<std::string, std::vector<int64_t>>> trainable_tokens;
  std::string base_model_name_or_path;
  std::string base_model_class;  ///< auto_mapping, e.g. "BertForMaskedLM"
  std::string parent_library;
};

/// Reads peft's LoRA keys from an object: r, lora_alpha, lora_dropout, use_rslora, use_dora,
/// target_modules, exclude_modules, layers_to_transform, layers_pattern, rank_pattern,
/// alpha_pattern, init_lora_weights, bias, modules_to_save, trainable_token_indices. Absent or null
/// keys have peft's defaults. Throws Error naming the key for ill types, bad ranges, bad regular
/// expressions and combinations that peft refuses.
AdapterConfig read_lora_config(const Json& object);
/// The same keys, for writing.
std::vector<Json::Member> lora_config_members(const AdapterConfig& config);

/// Whether an initialization leaves the base without the factors that the adapter begins with.
bool splits_base(AdapterConfig::Init init);
/// Whether it takes the factors from the weights.
bool reads_base(AdapterConfig::Init init);
/// The settings of an adapter that has both what was learned, [A; A0] and [B, -B0], and so fits the
/// base as it was: twice the rank and the same scale.
AdapterConfig joined_config(AdapterConfig config);

/// What a configuration says of each module. target_modules must not be a preset any more.
class LoraTargets {
 public:
  explicit LoraTargets(const AdapterConfig& config);

  /// Whether peft would adapt the module of this path (all_linear: any path). What is in a module
  /// of modules_to_save is not.
  bool matches(const std::string& module) const;
  int64_t rank(const std::string& module) const;
  double alpha(const std::string& module) const;
  /// What B A x is multiplied by.
  double scale(const std::string& module) const;

 private:
  bool in_chosen_layer(const std::string& module) const;

  AdapterConfig config_;
  std::optional<Regex> target_, exclude_;
  std::vector<Regex> layers_, ranks_, alphas_;
};

/// Names that a run configuration may give as target_modules; '|' between them.
inline constexpr const char* kTargetPresets = "all-linear|qlora|attention|peft-default";
/// Replaces a preset by the path endings it stands for in this model: "attention", the projections
/// around attention; "qlora", what qlora.py's find_all_linear_names gives, the last names of all
/// linear layers (so the head's transform, too, where it shares one); "peft-default", what peft
/// takes for this model_type when target_modules is null. Other values stay. Throws Error when peft
/// has no default.
void resolve_target_preset(AdapterConfig& config, const EncoderConfig& encoder);

/// Throws Error when `targets` also match a module that exists and cannot be adapted here
/// (embeddings, norms, the decoder, containers), as peft does or would adapt what we cannot.
void check_targets(const LoraTargets& targets, const EncoderConfig& encoder);

/// Whether the module of this path, or one that it is in, is among modules_to_save: peft compares
/// endings there, whole names or not.
bool is_saved_module(const std::string& path, const std::vector<std::string>& modules_to_save);

/// How many of them are: more than one where they stand inside each other.
int64_t n_saved_modules(const std::string& path, const std::vector<std::string>& modules_to_save);

/// peft's suffix matching: path == entry or path ends with "." + entry.
bool matches_suffix(const std::string& path, const std::vector<std::string>& entries);

}  // namespace qe
