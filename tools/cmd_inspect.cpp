// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>
#include <map>
#include <set>

#include "engine/model/adapter_loading.h"
#include "engine/model/weight_loader.h"
#include "formats/mapped_file.h"
#include "formats/run_config.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/module_groups.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

/// What one target setting would adapt; `error` says why nothing.
struct TargetReport {
  std::string name, error;
  int64_t n_modules = 0, n_parameters = 0;
  std::vector<std::string> modules;  // layer indices replaced by {i}, each once
};

struct ModelReport {
  std::string folder;
  EncoderConfig config;
  int64_t n_parameters = 0, n_bytes = 0, n_quantized = 0;
  std::vector<std::string> files;
  std::map<std::string, int64_t> dtypes;  // stored tensors by type
  bool has_head = false;
  std::string error;  // why it cannot be loaded
  std::string tokenizer;
  std::vector<TargetReport> targets;
};

TargetReport target_report(const std::string& name, const AdapterConfig& config,
                           const MaskedLm& model, const Context& ctx) {
  TargetReport report{.name = name};
  try {
    Memory memory(ctx);
    const auto adapter = make_adapter(config, model, false, ctx, memory);
    for (const ModuleGroup& group : module_groups(*adapter)) {
      report.n_modules += group.n_modules;
      report.n_parameters += group.n_parameters;
      report.modules.push_back(group.pattern);
    }
  } catch (const Error& error) {
    report.error = error.what();
  }
  return report;
}

std::string tokenizer_text(const std::string& folder) {
  try {
    const Tokenizer tokenizer = Tokenizer::load(folder);
    std::string text = human_count(tokenizer.size()) + " tokens";
    if (file_exists(folder + "/tokenizer.json")) {
      const Json json = Json::parse_file(folder + "/tokenizer.json");
      const Json* model = json.find("model");
      const Json* type = model ? model->find("type") : nullptr;
      if (type && type->is_string()) text = type->as_string() + ", " + text;
    }
    return text + (tokenizer.mask_id() ? ", mask " + tokenizer.mask_token() : ", no mask token");
  } catch (const Error& error) {
    return cat("not usable: ", error.what());
  }
}

ModelReport inspect_model(const std::string& folder, const Arguments& arguments) {
  ModelReport report{.folder = folder, .config = read_encoder_config(folder)};
  FolderTensors tensors(folder, family_of(report.config.model_type));
  report.files = tensors.files().names();
  std::set<const std::byte*> seen;
  for (const auto& [name, tensor] : tensors.files().tensors()) {
    // What shares its memory, as tied weights do in torch's files, counts once.
    if (!tensor->bytes.empty() && !seen.insert(tensor->bytes.data()).second) continue;
    report.n_bytes += static_cast<int64_t>(tensor->bytes.size());
    ++report.dtypes[std::string(dtype_name(tensor->dtype))];
    if (quant4_weight_of(name)) continue;
    const std::optional<StoredQuant4> q =
        tensors.find_quantized(canonical_tensor_name(family_of(report.config.model_type), name));
    // Integers are none: position_ids.
    report.n_parameters += q ? q->n * q->k : is_floating(tensor->dtype) ? tensor->n_elements() : 0;
    report.n_quantized += q ? 1 : 0;
  }
  const std::string of_head = report.config.head_tensor();
  report.has_head = of_head.empty() || tensors.has(of_head);
  report.tokenizer = tokenizer_text(folder);

  ThreadPool threads(1);
  Context ctx{.threads = &threads};
  ctx.planning = true;
  Memory memory(ctx);
  MaskedLm model;
  try {
    model = load_masked_lm(tensors, report.config, BaseOptions{}, ctx, memory);
  } catch (const Error& error) {
    report.error = error.what();
    return report;
  }
  const auto add = [&](const std::string& name, const std::string& value) {
    const RunConfig config = read_run_config(
        "",
        {{"target_modules", value}, {"lora_r", cat(arguments.integer("lora_r", 16, 1, 65536))}});
    report.targets.push_back(target_report(name, lora_config_of(config), model, ctx));
  };
  if (arguments.has("target_modules")) {
    add(arguments.text("target_modules"), arguments.text("target_modules"));
    return report;
  }
  const std::string presets = kTargetPresets;
  for (size_t i = 0; i < presets.size();) {
    const size_t end = std::min(presets.find('|', i), presets.size());
    add(presets.substr(i, end - i), presets.substr(i, end - i));
    i = end + 1;
  }
  return report;
}

Json to_json(const ModelReport& r) {
  Json dtypes = Json::object();
  for (const auto& [name, n] : r.dtypes) dtypes.set(name, n);
  Json files = Json::array();
  for (const std::string& file : r.files) files.push_back(file);
  Json targets = Json::array();
  for (const TargetReport& t : r.targets) {
    Json modules = Json::array();
    for (const std::string& module : t.modules) modules.push_back(module);
    Json target = Json::object({{"target_modules", t.name},
                                {"n_modules", t.n_modules},
                                {"modules", modules},
                                {"parameters", t.n_parameters}});
    if (!t.error.empty()) target.set("error", t.error);
    targets.push_back(target);
  }
  Json json = Json::object({{"kind", "model"},
                            {"model_type", r.config.model_type},
                            {"class", r.config.masked_lm_class},
                            {"parameters", r.n_parameters},
                            {"bytes", r.n_bytes},
                            {"layers", r.config.n_layers},
                            {"hidden_size", r.config.hidden_size},
                            {"heads", r.config.n_heads},
                            {"ffn_size", r.config.ffn_size},
                            {"vocab_size", r.config.vocab_size},
                            {"max_length", r.config.max_length()},
                            {"files", files},
                            {"tensors", dtypes},
                            {"quantized_linears", r.n_quantized},
                            {"masked_lm_head", r.has_head},
                            {"tokenizer", r.tokenizer},
                            {"targets", targets}});
  if (!r.error.empty()) json.set("error", r.error);
  return json;
}

std::string text_of(const ModelReport& r, int64_t rank) {
  Table table("ll");
  table.add({"model", cat(r.folder, ": ", r.config.model_type, ", ", human_count(r.n_parameters),
                          " parameters, ", human_bytes(static_cast<uint64_t>(r.n_bytes)))});
  table.add({"encoder",
             cat(r.config.n_layers, " layers, ", r.config.hidden_size, " wide, ", r.config.n_heads,
                 " heads, feed-forward ", r.config.ffn_size, ", ", human_count(r.config.vocab_size),
                 " tokens, texts up to ", r.config.max_length(), " tokens")});
  std::string stored;
  for (const auto& [name, n] : r.dtypes) stored += cat(stored.empty() ? "" : ", ", n, " ", name);
  table.add({"tensors", cat(stored, r.files.size() == 1 ? ", in " + r.files.front()
                                                        : cat(", in ", r.files.size(), " files"))});
  if (r.n_quantized > 0) table.add({"4-bit", cat(r.n_quantized, " linear layers")});
  table.add({"head", r.has_head ? "masked language model" : "none: train and fill-mask need one"});
  table.add({"tokenizer", r.tokenizer});
  if (!r.error.empty()) table.add({"error", r.error});
  std::string text = table.text();
  if (r.targets.empty()) return text;
  Table targets("lrrl");
  targets.add({"target_modules", "layers", cat("parameters at rank ", rank), ""});
  targets.rule();
  for (const TargetReport& t : r.targets) {
    if (!t.error.empty()) {
      targets.add({t.name, "", "", t.error});
      continue;
    }
    for (size_t i = 0; i < t.modules.size(); ++i) {
      targets.add({i == 0 ? t.name : "", i == 0 ? human_count(t.n_modules) : "",
                   i == 0 ? human_count(t.n_parameters) : "", t.modules[i]});
    }
  }
  return text + "\n" + targets.text();
}

int inspect_adapter(const std::string& folder, bool json) {
  const Adapter adapter = read_adapter(folder);
  const LoraTargets targets(adapter.config);
  int64_t n_parameters = 0;
  std::map<std::string, int64_t> modules;
  std::set<std::string> ranks;
  for (const AdapterPair& pair : adapter.pairs) {
    n_parameters += pair.r * (pair.in + pair.out);
    ++modules[without_index(pair.module)];
    ranks.insert(cat(pair.r, " (scale ", targets.scale(pair.module), ")"));
  }
  int64_t n_full = 0;
  for (const AdapterTensor& tensor : adapter.tensors) {
    n_full += static_cast<int64_t>(tensor.values.size());
  }
  if (json) {
    Json list = Json::object();
    for (const auto& [name, n] : modules) list.set(name, n);
    Json out = Json::object({{"kind", "adapter"},
                             {"base_model_name_or_path", adapter.config.base_model_name_or_path},
                             {"n_modules", static_cast<int64_t>(adapter.pairs.size())},
                             {"parameters", n_parameters},
                             {"parameters_in_full", n_full},
                             {"modules", list}});
    for (const auto& [key, value] : lora_config_members(adapter.config)) out.set(key, value);
    std::cout << out.dump() << "\n";
    return 0;
  }
  Table table("ll");
  table.add({"adapter", cat(folder, ": LoRA, ", human_count(n_parameters), " parameters in ",
                            adapter.pairs.size(), " linear layers")});
  if (n_full > 0) {
    table.add({"in full", cat(human_count(n_full), " parameters of the base in ",
                              adapter.tensors.size(), " tensors")});
  }
  table.add({"base", adapter.config.base_model_name_or_path});
  std::string text;
  for (const std::string& rank : ranks) text += (text.empty() ? "" : ", ") + rank;
  table.add({"rank", text});
  table.add({"alpha", cat(adapter.config.lora_alpha, adapter.config.use_rslora ? ", rsLoRA" : "")});
  for (const auto& [name, n] : modules) table.add({cat(n, " times"), name});
  std::cout << table.text();
  return 0;
}

int run_inspect(const Arguments& arguments) {
  if (arguments.positionals.empty()) throw UsageError("no folder given");
  const std::string& folder = arguments.positionals.front();
  QE_CHECK(folder_exists(folder), folder, ": no such folder");
  if (file_exists(folder + "/adapter_config.json")) {
    return inspect_adapter(folder, arguments.has("json"));
  }
  const ModelReport report = inspect_model(folder, arguments);
  if (arguments.has("json")) {
    std::cout << to_json(report).dump() << "\n";
  } else {
    std::cout << text_of(report, arguments.integer("lora_r", 16, 1, 65536));
  }
  return 0;
}

}  // namespace

Command inspect_command() {
  return {
      .name = "inspect",
      .summary = "what a model or adapter folder holds, and what LoRA would adapt",
      .positionals = "DIR",
      .max_positionals = 1,
      .takes_settings = false,
      .description =
          "Reads headers and settings only. For a model: sizes, types, head, tokenizer, and for\n"
          "each setting of target_modules the linear layers that it matches. For an adapter:\n"
          "rank, scale, and the layers that it adapts.",
      .options = {{"target_modules", "WHAT",
                   "only this setting: a preset, endings separated "
                   "by commas, or a regular expression"},
                  {"lora_r", "N", "rank that parameters are counted for (16)"},
                  {"json", nullptr, "print one JSON object instead"}},
      .example = "qlora-engine inspect examples/tiny-mlm",
      .run = run_inspect};
}

}  // namespace qe::tools
