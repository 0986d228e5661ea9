// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/lora.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/model/name_hash.h"
#include "kernels/core/philox.h"

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
  for (const LoraSite& site : sites) {
    if (!config.all_linear && !matches_suffix(site.module, config.target_modules)) continue;
    index_of_linear_[site.linear_id] = static_cast<int>(pairs_.size());
    pairs_.push_back(LoraPair{.module = site.module,
                              .r = config.r,
                              .in = site.in,
                              .out = site.out,
                              .scale = static_cast<float>(config.scale())});
    n_parameters += config.r * (site.in + site.out);
  }
  QE_CHECK(!pairs_.empty(), "target_modules [", join(config.target_modules),
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
    for (const LoraPair& pair : pairs_) config_.target_modules.push_back(pair.module);
  }
}

void LoraAdapter::initialize(uint64_t seed) {
  const PhiloxKey key = philox_key(seed, RandomPurpose::kLoraInit);
  for (const LoraPair& pair : pairs_) {
    const uint64_t hash = name_hash(pair.module);
    const float bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(pair.in)));
    float* a = pair.a.f32();
    for (int64_t i = 0; i < pair.r * pair.in; i += 4) {
      const Philox4 bits = philox4x32(
          key, Philox4{static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32),
                       static_cast<uint32_t>(i / 4), static_cast<uint32_t>((i / 4) >> 32)});
      const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
      for (int64_t j = i; j < std::min(i + 4, pair.r * pair.in); ++j) {
        a[j] = (2.0f * unit_float(words[j - i]) - 1.0f) * bound;
      }
    }
    std::fill_n(pair.b.f32(), pair.out * pair.r, 0.0f);
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
             pair.module, ": expected A (", pair.r, ", ", pair.in, ") and B (", pair.out, ", ",
             pair.r, "), got A (", source.r, ", ", source.in, ") and B (", source.out, ", ",
             source.r, ")");
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
