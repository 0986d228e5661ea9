// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// PEFT LoRA adapter folders: adapter_config.json and adapter_model.safetensors, in and out;
// adapter_model.bin in.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/lora_config.h"

namespace qe {

/// What follows a module's path in the names of an adapter's tensors.
inline constexpr const char* kLoraASuffix = ".lora_A.weight";
inline constexpr const char* kLoraBSuffix = ".lora_B.weight";
inline constexpr const char* kLoraMagnitudeSuffix = ".lora_magnitude_vector";
/// The same of an adapted module's bias, which peft has in the module that it wrapped.
inline constexpr const char* kAdaptedBiasSuffix = ".base_layer.bias";

/// What follows the word table's module where rows of it are trained.
inline constexpr const char* kTokenRowsSuffix = ".token_adapter.trainable_tokens_delta";

/// One LoRA pair, host memory, fp32.
struct AdapterPair {
  std::string module;  ///< path in the Hugging Face model, without "base_model.model."
  int64_t r = 0, in = 0, out = 0;
  std::vector<float> a;          ///< (r, in)
  std::vector<float> b;          ///< (out, r)
  std::vector<float> magnitude;  ///< (out), of DoRA; else empty
};

/// A parameter of the base that the adapter has in full (bias, modules_to_save), likewise.
struct AdapterTensor {
  std::string name;  ///< in the file, without "base_model.model."
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct Adapter {
  AdapterConfig config;
  std::vector<AdapterPair> pairs;      ///< sorted by module
  std::vector<AdapterTensor> tensors;  ///< sorted by name
};

/// The settings of an adapter folder. Errors as read_adapter's.
AdapterConfig read_adapter_config(const std::string& folder);

/// Reads an adapter folder. Settings that would change the result and are not supported (lora_bias
/// ...) are errors that name the key; unknown keys are ignored. Pairs whose two shapes disagree
/// with each other or with their rank are errors, so are tensors that the settings do not speak of,
/// and files that are links out of the folder.
Adapter read_adapter(const std::string& folder);

/// Same with views of memory owned elsewhere, for writing without copies.
struct AdapterPairView {
  std::string module;
  int64_t r = 0, in = 0, out = 0;
  const float* a = nullptr;
  const float* b = nullptr;
  const float* magnitude = nullptr;  ///< of DoRA
  /// What A and B were when they were taken out of the base, else null.
  const float* initial_a = nullptr;
  const float* initial_b = nullptr;
};
struct AdapterTensorView {
  std::string name;
  std::vector<int64_t> shape;
  const float* values = nullptr;
};
struct AdapterView {
  std::vector<AdapterPairView> pairs;
  std::vector<AdapterTensorView> tensors;
};
/// Writes adapter_config.json, adapter_model.safetensors and README.md (a model card that ends with
/// `training`, Markdown) into the existing folder. Pairs with initial values are written for the
/// base as it was, as joined_config says. False: README.md is somebody else's and stayed.
bool write_adapter(const std::string& folder, const AdapterConfig& config,
                   const AdapterView& adapter, const std::string& training = "");

}  // namespace qe
