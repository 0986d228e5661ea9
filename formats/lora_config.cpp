// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/lora_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>

#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr int64_t kMaxRank = int64_t{1} << 16;
constexpr int64_t kMaxIterations = 1000;
constexpr const char* kAllLinear = "all-linear";
constexpr const char* kPissaIterations = "pissa_niter_";

/// Initializations that have a name.
constexpr std::pair<const char*, AdapterConfig::Init> kInits[] = {
    {"gaussian", AdapterConfig::Init::kGaussian}, {"orthogonal", AdapterConfig::Init::kOrthogonal},
    {"pissa", AdapterConfig::Init::kPissa},       {"olora", AdapterConfig::Init::kOlora},
    {"loftq", AdapterConfig::Init::kLoftq},
};

const Json* find_value(const Json& json, const char* key) {
  const Json* value = json.find(key);
  return value && !value->is_null() ? value : nullptr;
}

/// Where a value stands, also one that a program made.
std::string place_of(const Json& value, const char* key) {
  const std::string where = value.where();
  return where.empty() ? key : where;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

int64_t read_rank(const Json& value, const char* key) {
  const int64_t rank = value.as_int();
  QE_CHECK(rank >= 1 && rank <= kMaxRank, place_of(value, key), ": expected 1 to ", kMaxRank,
           ", got ", rank);
  return rank;
}

double read_finite(const Json& value, const char* key) {
  const double number = value.as_double();
  QE_CHECK(std::isfinite(number), place_of(value, key), ": expected a number, got ", value.dump());
  return number;
}

Regex compiled(const std::string& pattern, const std::string& place) {
  try {
    return Regex(pattern);
  } catch (const Error& error) {
    fail(place, ": ", error.what());
  }
}

/// rank_pattern and alpha_pattern: the end of a path, from a dot on.
std::string at_the_end(const std::string& pattern) { return "(?:.*\\.)?(?:" + pattern + ")"; }

/// A list of path endings, or a text that is one regular expression.
void read_modules(const Json& value, const char* key, std::vector<std::string>& endings,
                  std::string& regex) {
  if (value.is_string()) {
    regex = value.as_string();
    QE_CHECK(!regex.empty(), place_of(value, key), ": expected a regular expression, got \"\"");
    compiled(regex, place_of(value, key));
    return;
  }
  for (const Json& item : value.items()) endings.push_back(item.as_string());
}

void read_targets(const Json& value, AdapterConfig& config) {
  if (value.is_string() && lower(value.as_string()) == kAllLinear) {
    config.all_linear = true;
  } else {
    read_modules(value, "target_modules", config.target_modules, config.target_regex);
  }
}

void read_layers(const Json& object, AdapterConfig& config) {
  const Json* layers = find_value(object, "layers_to_transform");
  if (layers && layers->is_array()) {
    for (const Json& layer : layers->items()) config.layers_to_transform.push_back(layer.as_int());
  } else if (layers) {
    config.layers_to_transform.push_back(layers->as_int());
  }
  const Json* pattern = find_value(object, "layers_pattern");
  if (pattern && pattern->is_array()) {
    for (const Json& item : pattern->items()) config.layers_pattern.push_back(item.as_string());
  } else if (pattern && !pattern->as_string().empty()) {
    config.layers_pattern.push_back(pattern->as_string());
  }
  QE_CHECK(
      config.layers_to_transform.empty() || (!config.all_linear && config.target_regex.empty()),
      place_of(*layers, "layers_to_transform"),
      ": needs target_modules to be a list of names (peft ignores or refuses it beside a text)");
  QE_CHECK(config.layers_pattern.empty() || !config.layers_to_transform.empty(),
           place_of(*pattern, "layers_pattern"), ": means nothing without layers_to_transform");
}

template <class Value, class Read>
void read_pattern(const Json& object, const char* key,
                  std::vector<std::pair<std::string, Value>>& patterns, const Read& read) {
  const Json* value = find_value(object, key);
  if (!value) return;
  for (const auto& [pattern, setting] : value->members()) {
    compiled(at_the_end(pattern), place_of(setting, key));
    patterns.emplace_back(pattern, read(setting, key));
  }
}

void read_init(const Json& object, AdapterConfig& config) {
  const Json* value = find_value(object, "init_lora_weights");
  if (!value) return;
  if (value->is_bool()) {
    config.init = value->as_bool() ? AdapterConfig::Init::kDefault : AdapterConfig::Init::kRandom;
    return;
  }
  const std::string name = lower(value->as_string());
  for (const auto& [known, init] : kInits) {
    if (name == known) config.init = init;
  }
  if (name.starts_with(kPissaIterations)) {
    const char* const end = name.data() + name.size();
    const auto [stop, error] =
        std::from_chars(name.data() + std::strlen(kPissaIterations), end, config.pissa_iterations);
    QE_CHECK(error == std::errc() && stop == end && config.pissa_iterations >= 0 &&
                 config.pissa_iterations <= kMaxIterations,
             place_of(*value, "init_lora_weights"), ": expected ", kPissaIterations,
             "N with N of 0 to ", kMaxIterations, ", got ", value->dump());
    config.init = AdapterConfig::Init::kPissa;
  }
}

/// LoftQ's base must be one that the adapter's users can have: the plain 4-bit one.
void check_loftq(const Json& object) {
  const Json* settings = find_value(object, "loftq_config");
  if (!settings) return;
  const auto check = [&](const char* key, int64_t only, const char* why) {
    const Json* value = find_value(*settings, key);
    QE_CHECK(!value || value->as_int() == only, place_of(*value, key), ": expected ", only,
             ", got ", value->dump(), ": ", why);
  };
  check("loftq_bits", 4, "the base has 4 bits here");
  check("loftq_iter", 1,
        "after more the base would not be the folder's own in 4 bits, and no adapter makes up for "
        "that");
}

Json init_json(const AdapterConfig& config) {
  if (config.init == AdapterConfig::Init::kDefault) return true;
  if (config.init == AdapterConfig::Init::kRandom) return false;
  if (config.pissa_iterations >= 0) return cat(kPissaIterations, config.pissa_iterations);
  for (const auto& [known, init] : kInits) {
    if (init == config.init) return known;
  }
  fail("an initialization without a name");
}

void check_even_ranks(const AdapterConfig& config) {
  if (config.init != AdapterConfig::Init::kOrthogonal) return;
  const auto check = [](int64_t rank, const std::string& of) {
    QE_CHECK(rank % 2 == 0, "init_lora_weights: \"orthogonal\" needs even ranks, ", of, " is ",
             rank);
  };
  check(config.r, "r");
  for (const auto& [pattern, rank] : config.rank_pattern) check(rank, "that of " + pattern);
}

void read_full_modules(const Json& object, AdapterConfig& config) {
  if (const Json* bias = find_value(object, "bias")) {
    const std::string& name = bias->as_string();
    QE_CHECK(name == "none" || name == "all" || name == "lora_only", place_of(*bias, "bias"),
             ": expected \"none\", \"all\" or \"lora_only\", got ", bias->dump());
    if (name != "none") {
      config.bias = name == "all" ? AdapterConfig::Bias::kAll : AdapterConfig::Bias::kLoraOnly;
    }
  }
  const Json* modules = find_value(object, "modules_to_save");
  if (!modules) return;
  for (const Json& item : modules->items()) {
    QE_CHECK(!item.as_string().empty(), place_of(item, "modules_to_save"),
             ": expected the end of a module's path, got \"\"");
    config.modules_to_save.push_back(item.as_string());
  }
}

std::vector<int64_t> read_tokens(const Json& list) {
  std::vector<int64_t> tokens;
  for (const Json& item : list.items()) tokens.push_back(item.as_int());
  QE_CHECK(!tokens.empty(), place_of(list, "trainable_token_indices"), ": no tokens");
  return tokens;
}

void read_trainable_tokens(const Json& object, AdapterConfig& config) {
  const Json* value = find_value(object, "trainable_token_indices");
  if (!value) return;
  if (value->is_array()) {
    if (!value->items().empty()) config.trainable_tokens.emplace_back("", read_tokens(*value));
    return;
  }
  for (const auto& [module, list] : value->members()) {
    config.trainable_tokens.emplace_back(module, read_tokens(list));
  }
}

Json trainable_tokens_json(const AdapterConfig& config) {
  Json all;
  for (const auto& [module, tokens] : config.trainable_tokens) {
    Json list = Json::array();
    for (const int64_t token : tokens) list.push_back(token);
    if (module.empty()) return list;
    all.set(module, list);
  }
  return all;
}

/// Whether `name` stands in the path between dots.
bool has_name(const std::string& path, const std::string& name) {
  for (size_t at = path.find(name); at != std::string::npos; at = path.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || path[at - 1] == '.') && (end == path.size() || path[end] == '.')) return true;
  }
  return false;
}

Json bias_json(AdapterConfig::Bias bias) {
  if (bias == AdapterConfig::Bias::kNone) return "none";
  return bias == AdapterConfig::Bias::kAll ? "all" : "lora_only";
}

Json names_json(const std::vector<std::string>& names) {
  Json list = Json::array();
  for (const std::string& name : names) list.push_back(name);
  return list;
}

Json modules_json(const std::vector<std::string>& names, const std::string& regex) {
  if (!regex.empty()) return regex;
  return names.empty() ? Json() : names_json(names);
}

/// 16.0 is written 16, as peft users write it.
Json number_json(double value) {
  const bool whole = std::fabs(value) < 1e15 && value == std::trunc(value);
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

// What follows the layer's index: a path ending that all layers share.
std::string ending_of(const std::string& pattern) {
  const size_t at = pattern.rfind("}.");
  return at == std::string::npos ? pattern : pattern.substr(at + 2);
}

}  // namespace

AdapterConfig read_lora_config(const Json& object) {
  AdapterConfig config;
  if (const Json* r = find_value(object, "r")) config.r = read_rank(*r, "r");
  if (const Json* alpha = find_value(object, "lora_alpha")) {
    config.lora_alpha = read_finite(*alpha, "lora_alpha");
  }
  if (const Json* dropout = find_value(object, "lora_dropout")) {
    config.lora_dropout = dropout->as_double();
    QE_CHECK(config.lora_dropout >= 0.0 && config.lora_dropout < 1.0,
             place_of(*dropout, "lora_dropout"), ": expected a probability in [0, 1), got ",
             config.lora_dropout);
  }
  if (const Json* rslora = find_value(object, "use_rslora")) config.use_rslora = rslora->as_bool();
  if (const Json* dora = find_value(object, "use_dora")) config.use_dora = dora->as_bool();
  if (const Json* targets = find_value(object, "target_modules")) read_targets(*targets, config);
  if (const Json* exclude = find_value(object, "exclude_modules")) {
    read_modules(*exclude, "exclude_modules", config.exclude_modules, config.exclude_regex);
  }
  read_layers(object, config);
  read_pattern(object, "rank_pattern", config.rank_pattern, read_rank);
  read_pattern(object, "alpha_pattern", config.alpha_pattern, read_finite);
  read_init(object, config);
  check_even_ranks(config);
  if (config.init == AdapterConfig::Init::kLoftq) check_loftq(object);
  read_full_modules(object, config);
  read_trainable_tokens(object, config);
  return config;
}

std::vector<Json::Member> lora_config_members(const AdapterConfig& config) {
  Json ranks = Json::object();
  for (const auto& [pattern, rank] : config.rank_pattern) ranks.set(pattern, rank);
  Json alphas = Json::object();
  for (const auto& [pattern, alpha] : config.alpha_pattern) alphas.set(pattern, number_json(alpha));
  Json layers;
  for (const int64_t layer : config.layers_to_transform) layers.push_back(layer);
  std::vector<Json::Member> members = {
      {"alpha_pattern", alphas},
      {"bias", bias_json(config.bias)},
      {"exclude_modules", modules_json(config.exclude_modules, config.exclude_regex)},
      {"init_lora_weights", init_json(config)},
      {"layers_pattern",
       config.layers_pattern.empty() ? Json() : names_json(config.layers_pattern)},
      {"layers_to_transform", layers},
      {"lora_alpha", number_json(config.lora_alpha)},
      {"lora_dropout", config.lora_dropout},
      {"modules_to_save",
       config.modules_to_save.empty() ? Json() : names_json(config.modules_to_save)},
      {"r", config.r},
      {"rank_pattern", ranks},
      {"target_modules", modules_json(config.target_modules, config.target_regex)},
      {"use_dora", config.use_dora},
      {"use_rslora", config.use_rslora}};
  // Older releases of peft do not know the key.
  if (!config.trainable_tokens.empty()) {
    members.emplace_back("trainable_token_indices", trainable_tokens_json(config));
  }
  return members;
}

bool splits_base(AdapterConfig::Init init) {
  return init == AdapterConfig::Init::kPissa || init == AdapterConfig::Init::kOlora;
}

bool reads_base(AdapterConfig::Init init) {
  return splits_base(init) || init == AdapterConfig::Init::kLoftq;
}

AdapterConfig joined_config(AdapterConfig config) {
  const double factor = config.use_rslora ? std::sqrt(2.0) : 2.0;
  config.r *= 2;
  config.lora_alpha *= factor;
  for (auto& [pattern, rank] : config.rank_pattern) rank *= 2;
  for (auto& [pattern, alpha] : config.alpha_pattern) alpha *= factor;
  return config;
}

LoraTargets::LoraTargets(const AdapterConfig& config) : config_(config) {
  if (!config.target_regex.empty()) target_ = compiled(config.target_regex, "target_modules");
  if (!config.exclude_regex.empty()) exclude_ = compiled(config.exclude_regex, "exclude_modules");
  // Without a pattern: the first number that is a name of its own, not the first name.
  if (config.layers_pattern.empty()) layers_.emplace_back(R"(^.*?\.[^.]*\.(\d+)\.)");
  for (const std::string& pattern : config.layers_pattern) {
    layers_.push_back(compiled(R"(^(?:|.*?\.)(?:)" + pattern + R"()\.(\d+)\.)", "layers_pattern"));
  }
  for (const auto& [pattern, rank] : config.rank_pattern) {
    ranks_.push_back(compiled(at_the_end(pattern), "rank_pattern"));
  }
  for (const auto& [pattern, alpha] : config.alpha_pattern) {
    alphas_.push_back(compiled(at_the_end(pattern), "alpha_pattern"));
  }
}

bool LoraTargets::matches(const std::string& module) const {
  if (exclude_ ? exclude_->full_match(module) : matches_suffix(module, config_.exclude_modules)) {
    return false;
  }
  for (const std::string& name : config_.modules_to_save) {
    if (has_name(module, name)) return false;
  }
  if (config_.all_linear) return true;
  if (target_) return target_->full_match(module);
  const std::vector<std::string>& targets = config_.target_modules;
  // A module named in full is adapted whatever its layer.
  if (std::find(targets.begin(), targets.end(), module) != targets.end()) return true;
  return matches_suffix(module, targets) && in_chosen_layer(module);
}

bool LoraTargets::in_chosen_layer(const std::string& module) const {
  const std::vector<int64_t>& chosen = config_.layers_to_transform;
  if (chosen.empty()) return true;
  for (const Regex& pattern : layers_) {
    const std::optional<Regex::Match> found = pattern.search(module, 0);
    if (!found) continue;
    const std::string index =
        module.substr(found->group_begin, found->group_end - found->group_begin);
    return std::any_of(chosen.begin(), chosen.end(),
                       [&](int64_t layer) { return std::to_string(layer) == index; });
  }
  return false;
}

int64_t LoraTargets::rank(const std::string& module) const {
  for (size_t i = 0; i < ranks_.size(); ++i) {
    if (ranks_[i].full_match(module)) return config_.rank_pattern[i].second;
  }
  return config_.r;
}

double LoraTargets::alpha(const std::string& module) const {
  for (size_t i = 0; i < alphas_.size(); ++i) {
    if (alphas_[i].full_match(module)) return config_.alpha_pattern[i].second;
  }
  return config_.lora_alpha;
}

double LoraTargets::scale(const std::string& module) const {
  const double r = static_cast<double>(rank(module));
  return alpha(module) / (config_.use_rslora ? std::sqrt(r) : r);
}

void resolve_target_preset(AdapterConfig& config, const EncoderConfig& encoder) {
  const EncoderNames& names = encoder.names;
  std::vector<std::string> targets;
  const auto add = [&](const std::string& name) {
    if (std::find(targets.begin(), targets.end(), name) == targets.end()) targets.push_back(name);
  };
  if (config.target_regex == "attention") {
    for (const std::string& pattern :
         {names.query, names.key, names.value, names.attention_output}) {
      if (!pattern.empty()) add(ending_of(pattern));
    }
  } else if (config.target_regex == "qlora") {
    for (const std::string& pattern : names.linears()) {
      add(pattern.substr(pattern.rfind('.') + 1));
    }
  } else if (config.target_regex == "peft-default") {
    targets = encoder.default_lora_targets;
    QE_CHECK(!targets.empty(), "target_modules: peft has no default for model_type \"",
             encoder.model_type, "\": give a list of names, or \"all-linear\"");
  } else {
    return;
  }
  config.target_modules = targets;
  config.target_regex.clear();
}

void check_targets(const LoraTargets& targets, const EncoderConfig& encoder) {
  const EncoderNames& names = encoder.names;
  std::set<std::string> linears;
  std::set<std::string> others;
  const auto add = [&](std::set<std::string>& set, const std::string& pattern) {
    if (pattern.find("{i}") == std::string::npos) {
      set.insert(pattern);
      return;
    }
    for (int64_t i = 0; i < encoder.n_distinct_layers; ++i) {
      set.insert(layer_name(pattern, i, encoder.n_inner_layers));
    }
  };
  for (const std::string& pattern : names.linears()) add(linears, pattern);
  for (const std::string& pattern : names.other_modules()) add(others, pattern);
  // Containers: whatever a path goes through.
  std::set<std::string> all = others;
  for (const auto* modules : {&linears, &others}) {
    for (const std::string& module : *modules) {
      for (size_t at = module.find('.'); at != std::string::npos; at = module.find('.', at + 1)) {
        all.insert(module.substr(0, at));
      }
    }
  }
  for (const std::string& module : all) {
    QE_CHECK(!targets.matches(module), "target_modules also match \"", module,
             "\", which is not a linear layer that can be adapted here (exclude_modules leaves "
             "modules out)");
  }
}

bool is_saved_module(const std::string& path, const std::vector<std::string>& modules_to_save) {
  return n_saved_modules(path, modules_to_save) > 0;
}

int64_t n_saved_modules(const std::string& path, const std::vector<std::string>& modules_to_save) {
  int64_t n = 0;
  size_t end = path.size();
  while (end != std::string::npos && end > 0) {
    const std::string_view module = std::string_view(path).substr(0, end);
    n += std::any_of(modules_to_save.begin(), modules_to_save.end(),
                     [&](const std::string& name) { return module.ends_with(name); });
    end = path.rfind('.', end - 1);
  }
  return n;
}

bool matches_suffix(const std::string& path, const std::vector<std::string>& entries) {
  return std::any_of(entries.begin(), entries.end(), [&](const std::string& entry) {
    return path == entry || path.ends_with("." + entry);
  });
}

}  // namespace qe
