// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/adapter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>

#include "formats/atomic_write.h"
#include "formats/mapped_file.h"
#include "formats/model_card.h"
#include "formats/safetensors.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr const char* kTorchFile = "adapter_model.bin";  // read where there is no other
constexpr const char* kPeftVersion = "0.20.0";           // whose format this is
constexpr std::string_view kPrefix = "base_model.model.";
constexpr size_t kMaxConfigBytes = size_t{1} << 24;

/// Settings that change which parameters exist or what they compute. Anything but "off" (null,
/// false, empty, "none") is refused, with the reason.
struct Refusal {
  const char* key;
  const char* reason;
};
constexpr Refusal kRefusals[] = {
    {"use_qalora", "QA-LoRA is not supported"},
    {"use_bdlora", "block-diagonal LoRA is not supported"},
    {"lora_bias", "biases in LoRA layers are not supported"},
    {"fan_in_fan_out", "transposed weights are not supported"},
    {"layer_replication", "replicated layers are not supported"},
    {"megatron_config", "Megatron's parallel layers are not supported"},
    {"target_parameters", "targets that are parameters are not supported"},
    {"alora_invocation_tokens", "activated LoRA is not supported"},
    {"arrow_config", "arrow routing is not supported"},
    {"velora_config", "this variant is not supported"},
    {"monteclora_config", "this variant is not supported"},
    {"kasa_config", "this variant is not supported"},
    {"ensure_weight_tying", "peft would make the decoder anew, without its bias"},
};

bool is_off(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::kNull:
      return true;
    case Json::Kind::kBool:
      return !value.as_bool();
    case Json::Kind::kString:
      return value.as_string() == "none";
    case Json::Kind::kArray:
      return value.items().empty();
    case Json::Kind::kObject:
      return value.members().empty();
    default:
      return false;
  }
}

const Json* find_value(const Json& json, const char* key) {
  const Json* value = json.find(key);
  return value && !value->is_null() ? value : nullptr;
}

std::string read_string(const Json& json, const char* key) {
  const Json* value = find_value(json, key);
  return value ? value->as_string() : std::string();
}

AdapterConfig read_config(const std::string& path) {
  const Json json = Json::parse_file(path, kMaxConfigBytes);
  const Json& type = json.at("peft_type");
  QE_CHECK(type.as_string() == "LORA", type.where(), ": expected \"LORA\", got ", type.dump());
  for (const Refusal& refusal : kRefusals) {
    const Json* value = json.find(refusal.key);
    QE_CHECK(!value || is_off(*value), value->where(), ": ", value->dump(), ": ", refusal.reason);
  }
  AdapterConfig config = read_lora_config(json);
  if (const Json* init = find_value(json, "init_lora_weights"); init && init->is_string()) {
    bool changes_base = reads_base(config.init);
    for (const char* name : {"corda", "lora_ga"}) {
      changes_base = changes_base || init->as_string() == name;
    }
    QE_CHECK(!changes_base, init->where(), ": ", init->dump(),
             " changes the base model's weights: convert the adapter for the original base first "
             "(peft: save_pretrained with path_initial_model_for_weight_conversion)");
  }
  config.base_model_name_or_path = read_string(json, "base_model_name_or_path");
  if (const Json* mapping = find_value(json, "auto_mapping")) {
    config.base_model_class = read_string(*mapping, "base_model_class");
    config.parent_library = read_string(*mapping, "parent_library");
  }
  return config;
}

/// A module path: names of letters, digits, '_' and '-', joined by dots. Everything else cannot
/// be an attribute of a model, and could mean something to a file system or a terminal.
bool is_module_path(std::string_view path) {
  bool name_began = false;
  for (const char c : path) {
    if (c == '.' && !name_began) return false;
    name_began = c != '.';
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!allowed) return false;
  }
  return name_began;
}

/// "file: tensor "name""
std::string place_of(const StoredTensor& tensor) {
  return cat(*tensor.file, ": tensor ", Json(tensor.name).dump());
}

/// The tensors of a pair as they are found in the file.
struct StoredPair {
  const StoredTensor* a = nullptr;
  const StoredTensor* b = nullptr;
  const StoredTensor* magnitude = nullptr;
};

struct StoredAdapter {
  std::map<std::string, StoredPair> pairs;
  std::vector<std::pair<std::string, const StoredTensor*>> tensors;  // in full, by name
};

/// Whether the settings speak of a tensor that belongs to no pair.
bool is_full_tensor(const std::string& name, const AdapterConfig& config) {
  if (name.ends_with(kTokenRowsSuffix)) return !config.trainable_tokens.empty();
  if (name.ends_with(".bias") && config.bias != AdapterConfig::Bias::kNone) return true;
  return is_saved_module(name.substr(0, name.rfind('.')), config.modules_to_save);
}

/// What peft also writes with bias "all" of a module that it saves in full, and never reads.
bool is_unused_copy(const std::string& name) {
  return name.find(".original_module.") != std::string::npos ||
         name.find(".modules_to_save.") != std::string::npos;
}

StoredAdapter collect(const TensorFile& file, const AdapterConfig& config) {
  StoredAdapter stored;
  for (const auto& [name, tensor] : file.tensors()) {
    const StoredTensor* StoredPair::*part = nullptr;
    std::string_view rest = name;
    for (const auto& [suffix, member] :
         {std::pair{std::string_view(kLoraASuffix), &StoredPair::a},
          std::pair{std::string_view(kLoraBSuffix), &StoredPair::b},
          std::pair{std::string_view(kLoraMagnitudeSuffix), &StoredPair::magnitude}}) {
      if (part != nullptr || !rest.ends_with(suffix)) continue;
      part = member;
      rest.remove_suffix(suffix.size());
    }
    const bool prefixed = rest.starts_with(kPrefix) && rest.size() > kPrefix.size();
    const std::string path(prefixed ? rest.substr(kPrefix.size()) : "");
    const bool in_full = part == nullptr && prefixed && is_full_tensor(path, config);
    QE_CHECK(in_full || (part != nullptr && prefixed), place_of(tensor), ": expected ", kPrefix,
             "<module>", kLoraASuffix, ", ", kLoraBSuffix, " or ", kLoraMagnitudeSuffix,
             ", or what bias, modules_to_save and trainable_token_indices speak of in ",
             kConfigFile);
    QE_CHECK(is_module_path(path), place_of(tensor), ": not a module path: ", Json(path).dump());
    if (part != nullptr) {
      stored.pairs[path].*part = &tensor;
    } else if (!is_unused_copy(path)) {
      stored.tensors.emplace_back(path, &tensor);
    }
  }
  return stored;
}

std::vector<float> read_values(const StoredTensor& tensor) {
  std::vector<float> values = tensor.to_f32();
  for (size_t i = 0; i < values.size(); ++i) {
    QE_CHECK(std::isfinite(values[i]), place_of(tensor), ": element ", i, " is ", values[i]);
  }
  return values;
}

/// A (rows, cols) matrix with one dimension given; Error otherwise.
void check_matrix(const StoredTensor& tensor, size_t rank_axis, int64_t r) {
  QE_CHECK(tensor.shape.size() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0, place_of(tensor),
           ": expected a matrix, got ", tensor.shape.size(), " dimensions or a ", "size of 0");
  QE_CHECK(tensor.shape[rank_axis] == r, place_of(tensor), ": expected ", r,
           rank_axis == 0 ? " rows" : " columns", " (its rank in ", kConfigFile, "), got ",
           tensor.shape[rank_axis]);
}

std::vector<float> read_magnitude(const StoredPair& stored, bool use_dora, int64_t out) {
  if (!use_dora) {
    QE_CHECK(!stored.magnitude, place_of(*stored.magnitude), ": but use_dora is false in ",
             kConfigFile);
    return {};
  }
  QE_CHECK(stored.magnitude, place_of(*stored.a), ": its partner ending in ", kLoraMagnitudeSuffix,
           " is missing, with use_dora in ", kConfigFile);
  QE_CHECK(stored.magnitude->shape == std::vector<int64_t>{out}, place_of(*stored.magnitude),
           ": expected a vector of ", out, " (its partner's rows)");
  return read_values(*stored.magnitude);
}

AdapterPair read_pair(const std::string& module, const StoredPair& stored,
                      const AdapterConfig& config, const LoraTargets& targets) {
  const int64_t r = targets.rank(module);
  QE_CHECK(stored.a || stored.b, place_of(*stored.magnitude), ": its partners ending in ",
           kLoraASuffix, " and ", kLoraBSuffix, " are missing");
  QE_CHECK(stored.a && stored.b, place_of(stored.a ? *stored.a : *stored.b),
           ": its partner ending in ", stored.a ? kLoraBSuffix : kLoraASuffix, " is missing");
  check_matrix(*stored.a, 0, r);
  check_matrix(*stored.b, 1, r);
  const int64_t out = stored.b->shape[0];
  return {.module = module,
          .r = r,
          .in = stored.a->shape[1],
          .out = out,
          .a = read_values(*stored.a),
          .b = read_values(*stored.b),
          .magnitude = read_magnitude(stored, config.use_dora, out)};
}

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

/// The keys that every peft since 0.9 knows.
Json config_json(const AdapterConfig& config) {
  Json mapping;
  if (!config.base_model_class.empty()) {
    mapping.set("base_model_class", config.base_model_class);
    mapping.set("parent_library", text_or_null(config.parent_library));
  }
  std::vector<Json::Member> members = lora_config_members(config);
  const std::vector<Json::Member> fixed = {
      {"auto_mapping", mapping},
      {"base_model_name_or_path", text_or_null(config.base_model_name_or_path)},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"layer_replication", Json()},
      {"loftq_config", Json::object()},
      {"megatron_config", Json()},
      {"megatron_core", "megatron.core"},
      {"peft_type", "LORA"},
      {"peft_version", kPeftVersion},
      {"revision", Json()},
      {"task_type", Json()},
  };
  members.insert(members.end(), fixed.begin(), fixed.end());
  return Json::object(std::move(members));
}

void check_finite(const std::string& place, const float* values, int64_t n,
                  const std::string& what) {
  const float* bad = std::find_if(values, values + n, [](float x) { return !std::isfinite(x); });
  QE_CHECK(bad == values + n, place, ": element ", bad - values, " of ", what, " is ", *bad);
}

void check_pairs(const std::string& folder, const AdapterConfig& config,
                 const std::vector<AdapterPairView>& pairs) {
  const LoraTargets targets(config);
  QE_CHECK(!pairs.empty(), folder, ": an adapter without LoRA pairs");
  for (const AdapterPairView& pair : pairs) {
    const std::string place = cat(folder, ": LoRA pair ", Json(pair.module).dump());
    QE_CHECK(is_module_path(pair.module), place, ": not a module path");
    const int64_t rank = targets.rank(pair.module);
    QE_CHECK(pair.r == rank && pair.in > 0 && pair.out > 0, place, ": rank ", pair.r, " of ",
             pair.out, " x ", pair.in, ", expected rank ", rank, " and positive sizes");
    QE_CHECK(targets.matches(pair.module), place, ": is not among target_modules");
    check_finite(place, pair.a, pair.r * pair.in, "A");
    check_finite(place, pair.b, pair.out * pair.r, "B");
    QE_CHECK(config.use_dora == (pair.magnitude != nullptr), place,
             config.use_dora ? ": no magnitudes, with use_dora" : ": magnitudes without use_dora");
    if (config.use_dora) check_finite(place, pair.magnitude, pair.out, "the magnitudes");
    QE_CHECK(splits_base(config.init) == (pair.initial_a && pair.initial_b), place,
             ": the initial values are for adapters whose base lacks them");
  }
}

int64_t size_of(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

void check_tensors(const std::string& folder, const AdapterConfig& config,
                   const std::vector<AdapterTensorView>& tensors) {
  for (const AdapterTensorView& tensor : tensors) {
    const std::string place = cat(folder, ": tensor ", Json(tensor.name).dump());
    QE_CHECK(is_module_path(tensor.name), place, ": not a module path");
    QE_CHECK(is_full_tensor(tensor.name, config), place,
             ": is not what bias, modules_to_save and trainable_token_indices speak of");
    check_finite(place, tensor.values, size_of(tensor.shape), "it");
  }
}

/// One matrix that is [A; A0] or [B, -B0]: `n` times `width` values of the one, then of the other.
TensorToWrite joined(const std::string& name, std::vector<int64_t> shape, int64_t n, int64_t width,
                     const float* values, const float* initial, float sign) {
  return {.name = name,
          .dtype = DType::kF32,
          .shape = std::move(shape),
          .produce = [=](const Append& append) {
            std::vector<float> row(static_cast<size_t>(2 * width));
            for (int64_t i = 0; i < n; ++i) {
              for (int64_t j = 0; j < width; ++j) {
                row[static_cast<size_t>(j)] = values[i * width + j];
                row[static_cast<size_t>(width + j)] = sign * initial[i * width + j];
              }
              append(std::as_bytes(std::span(row)));
            }
          }};
}

void add_pair(const AdapterPairView& pair, std::vector<TensorToWrite>& tensors) {
  const std::string module = cat(kPrefix, pair.module);
  if (pair.initial_a) {
    tensors.push_back(joined(module + kLoraASuffix, {2 * pair.r, pair.in}, 1, pair.r * pair.in,
                             pair.a, pair.initial_a, 1.0f));
    tensors.push_back(joined(module + kLoraBSuffix, {pair.out, 2 * pair.r}, pair.out, pair.r,
                             pair.b, pair.initial_b, -1.0f));
  } else {
    tensors.push_back({module + kLoraASuffix, DType::kF32, {pair.r, pair.in}, pair.a});
    tensors.push_back({module + kLoraBSuffix, DType::kF32, {pair.out, pair.r}, pair.b});
  }
  if (!pair.magnitude) return;
  tensors.push_back({module + kLoraMagnitudeSuffix, DType::kF32, {pair.out}, pair.magnitude});
}

std::string find_config(const std::string& folder) {
  const std::string path = (fs::path(folder) / kConfigFile).string();
  QE_CHECK(folder_exists(folder), folder, ": no such folder");
  QE_CHECK(file_exists(path), folder, ": no adapter here, expected ", kConfigFile);
  return path;
}

}  // namespace

AdapterConfig read_adapter_config(const std::string& folder) {
  const std::string path = find_config(folder);
  check_stays_inside(folder, kConfigFile);
  return read_config(path);
}

Adapter read_adapter(const std::string& folder) {
  find_config(folder);
  const bool is_torch = !file_exists((fs::path(folder) / kWeightsFile).string());
  const char* weights = is_torch ? kTorchFile : kWeightsFile;
  const std::string weights_path = (fs::path(folder) / weights).string();
  QE_CHECK(file_exists(weights_path), folder, ": no adapter weights, expected ", kWeightsFile,
           " or ", kTorchFile);
  check_stays_inside(folder, weights);
  Adapter adapter;
  adapter.config = read_adapter_config(folder);
  const std::unique_ptr<TensorFile> file = open_tensor_file(weights_path);
  const LoraTargets targets(adapter.config);
  const StoredAdapter stored = collect(*file, adapter.config);
  for (const auto& [module, pair] : stored.pairs) {
    adapter.pairs.push_back(read_pair(module, pair, adapter.config, targets));
  }
  for (const auto& [name, tensor] : stored.tensors) {
    adapter.tensors.push_back({name, tensor->shape, read_values(*tensor)});
  }
  QE_CHECK(!adapter.pairs.empty(), weights_path, ": holds no LoRA pair");
  return adapter;
}

bool write_adapter(const std::string& folder, const AdapterConfig& config,
                   const AdapterView& adapter, const std::string& training) {
  const std::vector<AdapterPairView>& pairs = adapter.pairs;
  AdapterConfig stored = config;
  stored.all_linear = false;
  if (stored.target_modules.empty() && stored.target_regex.empty()) {  // peft stores what it found
    for (const AdapterPairView& pair : pairs) stored.target_modules.push_back(pair.module);
  }
  check_pairs(folder, stored, pairs);
  check_tensors(folder, stored, adapter.tensors);
  std::vector<TensorToWrite> tensors;
  for (const AdapterPairView& pair : pairs) add_pair(pair, tensors);
  if (splits_base(stored.init)) stored = joined_config(stored);
  // Who reads it has the values, and an old peft does not know every name.
  if (stored.init != AdapterConfig::Init::kGaussian &&
      stored.init != AdapterConfig::Init::kRandom) {
    stored.init = AdapterConfig::Init::kDefault;
    stored.pissa_iterations = -1;
  }
  for (const AdapterTensorView& tensor : adapter.tensors) {
    tensors.push_back({cat(kPrefix, tensor.name), DType::kF32, tensor.shape, tensor.values});
  }
  const fs::path base(folder);
  write_safetensors((base / kWeightsFile).string(), std::move(tensors));
  write_file_atomically((base / kConfigFile).string(), config_json(stored).dump(2, true) + "\n");
  return write_model_card(folder, model_card(stored, pairs.size(), training));
}

}  // namespace qe
