// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/encoder_config.h"

#include <algorithm>
#include <filesystem>

#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 24;

const Family& family_of_config(const Json& config) {
  QE_CHECK(config.find("model_type"), config.where(),
           ": missing key \"model_type\", the family's name, as \"bert\"");
  const Json& model_type = config.at("model_type");
  const std::string& name = model_type.as_string();
  try {
    return family_of(name);
  } catch (const Error& error) {
    fail(model_type.where(), ": ", error.what());
  }
}

/// Throws Error when another method than bitsandbytes' 4 bits has quantized the weights. Which ones
/// are quantized is what the tensors say.
void check_quantization(const Json& config) {
  const Json* quantization = config.find("quantization_config");
  if (!quantization || quantization->is_null()) return;
  const Json* method = quantization->find("quant_method");
  QE_CHECK(!method || method->as_string() == "bitsandbytes", method->where(), ": ", method->dump(),
           " is not supported; supported: bitsandbytes");
  const Json* eight = quantization->find("load_in_8bit");
  QE_CHECK(!eight || eight->is_null() || !eight->as_bool(), eight->where(),
           ": true is not supported: 8-bit weights; supported: 4 bits");
}

}  // namespace

EncoderConfig read_encoder_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  const Json config = Json::parse_file(path, kMaxConfigBytes);
  const Family& family = family_of_config(config);
  check_quantization(config);
  return family.read(config);
}

std::vector<std::string> EncoderNames::linears() const {
  std::vector<std::string> names;
  for (const std::string* name :
       {&embedding_projection, &query, &key, &value, &attention_output, &distance_query,
        &distance_key, &ffn_gate, &ffn_up, &ffn_down, &head_dense}) {
    if (!name->empty()) names.push_back(*name);
  }
  return names;
}

std::vector<std::string> EncoderNames::other_modules() const {
  std::vector<std::string> names;
  for (const std::string* name :
       {&word_embeddings, &position_embeddings, &token_type_embeddings, &embedding_norm,
        &relative_bias, &distances, &distance_norm, &attention_norm, &ffn_norm, &final_norm,
        &convolution, &convolution_norm, &head_norm, &decoder}) {
    if (!name->empty()) names.push_back(*name);
  }
  return names;
}

std::vector<std::string> split_name(const std::string& canonical) {
  const size_t open = canonical.find('{');
  const size_t close = canonical.find('}', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return {canonical};
  std::vector<std::string> names;
  for (size_t begin = open + 1; begin <= close;) {
    const size_t end = std::min(canonical.find(',', begin), close);
    names.push_back(canonical.substr(0, open) + canonical.substr(begin, end - begin) +
                    canonical.substr(close + 1));
    begin = end + 1;
  }
  return names;
}

std::string layer_name(const std::string& pattern, int64_t layer, int64_t n_inner) {
  std::string name = pattern;
  const auto replace = [&](std::string_view index, int64_t number) {
    const size_t at = name.find(index);
    QE_CHECK(at != std::string::npos, "layer pattern \"", pattern, "\" has no ", index);
    name.replace(at, index.size(), std::to_string(number));
  };
  replace("{i}", layer / n_inner);
  if (n_inner > 1 || name.find("{j}") != std::string::npos) replace("{j}", layer % n_inner);
  return name;
}

int64_t EncoderConfig::layer_weights(int64_t layer) const {
  const int64_t n_groups = n_distinct_layers / n_inner_layers;
  const int64_t n_turns = n_layers / n_inner_layers;
  // In floating point, as transformers does where n_turns is no multiple of n_groups.
  const double turns_per_group = static_cast<double>(n_turns) / static_cast<double>(n_groups);
  const int64_t turn = layer / n_inner_layers;
  const auto group = static_cast<int64_t>(static_cast<double>(turn) / turns_per_group);
  return group * n_inner_layers + layer % n_inner_layers;
}

}  // namespace qe
