// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/adapter_loading.h"

#include <cstring>

namespace qe {
namespace {

// "bert-base-uncased" and "/models/bert-base-uncased/" are taken for the same.
std::string last_name(std::string path) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

// A module's name in the masked language model; "": it does not use it.
std::string canonical_module(const Family& family, const std::string& module) {
  constexpr std::string_view kWeight = ".weight";
  const std::string canonical = family.canonical_name(module + std::string(kWeight));
  // Several modules in one have no adapter that is theirs.
  if (!canonical.ends_with(kWeight) || split_name(canonical).size() > 1) {
    return canonical.empty() ? canonical : module;
  }
  return canonical.substr(0, canonical.size() - kWeight.size());
}

std::string canonical_tensor(const Family& family, const std::string& name) {
  if (!name.ends_with(kAdaptedBiasSuffix)) return family.canonical_name(name);
  const std::string module = name.substr(0, name.size() - std::strlen(kAdaptedBiasSuffix));
  const std::string canonical = canonical_module(family, module);
  return canonical.empty() ? canonical : canonical + kAdaptedBiasSuffix;
}

// Every module by name, with its own rank and scale: patterns may speak of other names.
void name_targets(const AdapterConfig& before, const std::vector<std::string>& modules_before,
                  Adapter& adapter) {
  const LoraTargets targets(before);
  AdapterConfig& config = adapter.config;
  config.all_linear = false;
  config.target_modules.clear();
  config.target_regex.clear();
  config.exclude_modules.clear();
  config.exclude_regex.clear();
  config.layers_to_transform.clear();
  config.layers_pattern.clear();
  config.rank_pattern.clear();
  config.alpha_pattern.clear();
  for (size_t i = 0; i < modules_before.size(); ++i) {
    const std::string& module = adapter.pairs[i].module;
    config.target_modules.push_back(module);
    if (!before.rank_pattern.empty()) {
      config.rank_pattern.emplace_back(module, targets.rank(modules_before[i]));
    }
    if (!before.alpha_pattern.empty()) {
      config.alpha_pattern.emplace_back(module, targets.alpha(modules_before[i]));
    }
  }
}

}  // namespace

void fit_to_family(Adapter& adapter, const EncoderConfig& config) {
  const Family& family = family_of(config.model_type);
  std::erase_if(adapter.pairs, [&](const AdapterPair& pair) {
    return canonical_module(family, pair.module).empty();
  });
  std::erase_if(adapter.tensors, [&](const AdapterTensor& tensor) {
    return canonical_tensor(family, tensor.name).empty();
  });
  std::vector<std::string> before;
  bool renamed = false;
  for (AdapterPair& pair : adapter.pairs) {
    before.push_back(pair.module);
    pair.module = canonical_module(family, pair.module);
    renamed = renamed || pair.module != before.back();
  }
  if (!renamed) return;
  for (AdapterTensor& tensor : adapter.tensors) {
    tensor.name = canonical_tensor(family, tensor.name);
  }
  name_targets(AdapterConfig(adapter.config), before, adapter);
}

std::unique_ptr<LoraAdapter> make_adapter(AdapterConfig config, const MaskedLm& model,
                                          bool trainable, const Context& ctx, Memory& memory) {
  resolve_target_preset(config, model.config);
  config.base_model_class = model.config.masked_lm_class;
  config.parent_library = model.config.parent_library;
  if (!config.all_linear) check_targets(LoraTargets(config), model.config);
  return std::make_unique<LoraAdapter>(config, model.adapted_base(), trainable, ctx, memory);
}

std::unique_ptr<LoraAdapter> load_adapter(const std::string& folder, const MaskedLm& model,
                                          const std::string& base, bool trainable,
                                          const Context& ctx, Memory& memory, const Log& log) {
  return place_adapter(read_adapter(folder), folder, model, base, trainable, ctx, memory, log);
}

std::unique_ptr<LoraAdapter> place_adapter(Adapter stored, const std::string& folder,
                                           const MaskedLm& model, const std::string& base,
                                           bool trainable, const Context& ctx, Memory& memory,
                                           const Log& log) {
  std::string& stored_base = stored.config.base_model_name_or_path;
  if (!stored_base.empty() && last_name(stored_base) != last_name(base)) {
    log.warn(cat(folder, ": the adapter was made for ", Json(stored_base).dump(),
                 ", the base here is ", Json(base).dump()));
  }
  stored_base = base;
  fit_to_family(stored, model.config);
  std::unique_ptr<LoraAdapter> adapter;
  try {
    adapter = make_adapter(stored.config, model, trainable, ctx, memory);
  } catch (const Error& error) {
    fail(folder, ": the adapter is for another base: ", error.what());
  }
  if (!memory.planning()) adapter->assign(stored, folder);
  return adapter;
}

}  // namespace qe
