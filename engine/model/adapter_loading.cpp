// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/adapter_loading.h"

namespace qe {
namespace {

// "bert-base-uncased" and "/models/bert-base-uncased/" are taken for the same.
std::string last_name(std::string path) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

void drop_unused_parts(Adapter& adapter, const EncoderConfig& config) {
  const Family& family = family_of(config.model_type);
  std::erase_if(adapter.pairs, [&](const AdapterPair& pair) {
    return family.canonical_name(pair.module + ".weight").empty();
  });
  std::erase_if(adapter.tensors, [&](const AdapterTensor& tensor) {
    return family.canonical_name(tensor.name).empty();
  });
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
  drop_unused_parts(stored, model.config);
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
