// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// PEFT LoRA adapter folders: adapter_config.json and adapter_model.safetensors, in and out.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/json.h"

namespace qe {

/// The settings of adapter_config.json that this project honours.
struct AdapterConfig {
  int64_t r = 8;
  double lora_alpha = 8.0;
  double lora_dropout = 0.0;
  bool all_linear = false;                  ///< target_modules == "all-linear" as given by a user
  std::vector<std::string> target_modules;  ///< suffix list, as stored
  std::string base_model_name_or_path;
  std::string base_model_class;  ///< auto_mapping, e.g. "BertForMaskedLM"
  std::string parent_library;

  double scale() const { return lora_alpha / static_cast<double>(r); }
};

/// One LoRA pair, host memory, fp32.
struct AdapterPair {
  std::string module;  ///< path in the Hugging Face model, without "base_model.model."
  int64_t r = 0, in = 0, out = 0;
  std::vector<float> a;  ///< (r, in)
  std::vector<float> b;  ///< (out, r)
};

struct Adapter {
  AdapterConfig config;
  std::vector<AdapterPair> pairs;  ///< sorted by module
};

/// Reads an adapter folder. Settings that would change the result and are not supported (DoRA,
/// rsLoRA, patterns, bias, modules_to_save, regex targets ...) are errors that name the key;
/// unknown keys are ignored. Pairs whose two shapes disagree with each other or with r are errors.
Adapter read_adapter(const std::string& folder);

/// Same with views of memory owned elsewhere, for writing without copies.
struct AdapterPairView {
  std::string module;
  int64_t r = 0, in = 0, out = 0;
  const float* a = nullptr;
  const float* b = nullptr;
};
/// Writes adapter_config.json, adapter_model.safetensors and README.md (a model card) into the
/// existing folder.
void write_adapter(const std::string& folder, const AdapterConfig& config,
                   const std::vector<AdapterPairView>& pairs);

/// peft's suffix matching: path == entry or path ends with "." + entry.
bool matches_suffix(const std::string& path, const std::vector<std::string>& entries);

}  // namespace qe
