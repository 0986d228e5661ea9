// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/lora.h"

#include <algorithm>
#include <map>

#include "engine/model/lora_init.h"

namespace qe {
namespace {

std::string join(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

}  // namespace

LoraAdapter::LoraAdapter(const AdapterConfig& config, const std::vector<LoraSite>& sites,
                         int n_linears, bool trainable, Memory& memory)
    : config_(config), index_of_linear_(n_linears, -1) {
  QE_CHECK(config.r > 0, "lora_r: expected a positive rank, got ", config.r);
  int64_t n_parameters = 0;
  const LoraTargets targets(config);
  for (const LoraSite& site : sites) {
    if (!targets.matches(site.module)) continue;
    index_of_linear_[site.linear_id] = static_cast<int>(pairs_.size());
    pairs_.push_back(LoraPair{.module = site.module,
                              .r = targets.rank(site.module),
                              .in = site.in,
                              .out = site.out,
                              .scale = static_cast<float>(targets.scale(site.module))});
    n_parameters += pairs_.back().r * (site.in + site.out);
  }
  QE_CHECK(!pairs_.empty(), "target_modules [",
           config.target_regex.empty() ? join(config.target_modules) : config.target_regex,
           "] match no linear layer of the model; it has for example \"",
           sites.empty() ? "" : sites.front().module, "\"");
  parameters_ = {memory.allocate_array<float>("LoRA parameters", n_parameters),
                 static_cast<size_t>(n_parameters)};
  if (trainable) {
    gradients_ = {memory.allocate_array<float>("LoRA gradients", n_parameters),
                  static_cast<size_t>(n_parameters)};
  }
  int64_t offset = 0;
  for (LoraPair& pair : pairs_) {
    const int64_t b_offset = offset + pair.r * pair.in;
    pair.a = make_tensor(parameters_.data() + offset, pair.r, pair.in);
    pair.b = make_tensor(parameters_.data() + b_offset, pair.out, pair.r);
    if (trainable) {
      pair.d_a = make_tensor(gradients_.data() + offset, pair.r, pair.in);
      pair.d_b = make_tensor(gradients_.data() + b_offset, pair.out, pair.r);
    }
    offset = b_offset + pair.out * pair.r;
  }
  if (config_.all_linear) {  // peft stores the expanded list
    config_.target_modules.clear();
    for (const LoraSite& site : sites) config_.target_modules.push_back(site.module);
  }
}

void LoraAdapter::initialize(uint64_t seed) {
  for (const LoraPair& pair : pairs_) {
    const auto flat = [](const Tensor& matrix) {
      return std::span<float>(matrix.f32(), static_cast<size_t>(matrix.size()));
    };
    initialize_lora(config_.init, seed, pair.module,
                    {flat(pair.a), flat(pair.b), pair.r, pair.in, pair.out});
  }
}

void LoraAdapter::assign(const Adapter& adapter, const std::string& folder) {
  std::map<std::string, const AdapterPair*> stored;
  for (const AdapterPair& pair : adapter.pairs) stored[pair.module] = &pair;
  for (const LoraPair& pair : pairs_) {
    const auto found = stored.find(pair.module);
    QE_CHECK(found != stored.end(), folder, ": the adapter has no pair for ", pair.module);
    const AdapterPair& source = *found->second;
    QE_CHECK(source.r == pair.r && source.in == pair.in && source.out == pair.out, folder, ": ",
             pair.module, ": the adapter is for another base: expected A (", pair.r, ", ", pair.in,
             ") and B (", pair.out, ", ", pair.r, "), got A (", source.r, ", ", source.in,
             ") and B (", source.out, ", ", source.r, ")");
    std::copy(source.a.begin(), source.a.end(), pair.a.f32());
    std::copy(source.b.begin(), source.b.end(), pair.b.f32());
    stored.erase(found);
  }
  QE_CHECK(stored.empty(), folder, ": the adapter is for another base: this model has no linear \"",
           stored.begin()->first, "\"");
}

std::vector<AdapterPairView> LoraAdapter::views() const {
  std::vector<AdapterPairView> views;
  for (const LoraPair& pair : pairs_) {
    views.push_back({pair.module, pair.r, pair.in, pair.out, pair.a.f32(), pair.b.f32()});
  }
  return views;
}

}  // namespace qe
