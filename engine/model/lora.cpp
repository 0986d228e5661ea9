// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/lora.h"

#include <algorithm>
#include <map>

#include "engine/memory/planning.h"
#include "engine/model/lora_init.h"
#include "kernels/ops/dora.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

std::string join(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

// The base and the pair, as ops take them; `segment` outlives the result.
LoraLinear linear_of(const LoraPair& pair, LoraSegment& segment) {
  segment = {0, 1, pair.computed_a, pair.computed_b, pair.scale};
  LoraLinear linear{.segments = {&segment, 1}};
  if (pair.weight.is_quantized()) {
    linear.quantized = &pair.weight.quantized();
  } else {
    linear.dense = pair.weight.dense();
  }
  return linear;
}

}  // namespace

LoraAdapter::LoraAdapter(const AdapterConfig& config, const std::vector<LoraSite>& sites,
                         int n_linears, bool trainable, const Context& ctx, Memory& memory)
    : config_(config), ctx_(ctx), index_of_linear_(n_linears, -1) {
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
                              .scale = static_cast<float>(targets.scale(site.module)),
                              .weight = site.weight});
    n_parameters += pairs_.back().r * (site.in + site.out) + (config.use_dora ? site.out : 0);
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
  place(memory);
  if (config_.all_linear) {  // peft stores the expanded list
    config_.target_modules.clear();
    for (const LoraSite& site : sites) config_.target_modules.push_back(site.module);
  }
}

// Gives every pair its views, and takes what is derived from the parameters.
void LoraAdapter::place(Memory& memory) {
  const auto n_parameters = static_cast<int64_t>(parameters_.size());
  masters_ = make_tensor(parameters_.data(), 1, n_parameters, DType::kF32, ctx_.device);
  if (ctx_.compute != DType::kF32) {
    void* data = memory.allocate(cat("LoRA parameters (", dtype_name(ctx_.compute), ")"),
                                 static_cast<size_t>(n_parameters) * dtype_size(ctx_.compute));
    computed_ = make_tensor(data, 1, n_parameters, ctx_.compute, ctx_.device);
  }
  const Tensor& computed = computed_ ? computed_ : masters_;
  const Tensor gradients =
      make_tensor(gradients_.data(), 1, n_parameters, DType::kF32, ctx_.device);
  const auto matrix = [](const Tensor& flat, int64_t at, int64_t rows, int64_t cols) {
    return make_tensor(flat.col_range(at, 0).data, rows, cols, flat.dtype, flat.device);
  };
  int64_t offset = 0;
  for (LoraPair& pair : pairs_) {
    const int64_t b_offset = offset + pair.r * pair.in;
    const int64_t end = b_offset + pair.out * pair.r;
    pair.a = matrix(masters_, offset, pair.r, pair.in);
    pair.b = matrix(masters_, b_offset, pair.out, pair.r);
    pair.computed_a = matrix(computed, offset, pair.r, pair.in);
    pair.computed_b = matrix(computed, b_offset, pair.out, pair.r);
    if (trainable()) {
      pair.d_a = matrix(gradients, offset, pair.r, pair.in);
      pair.d_b = matrix(gradients, b_offset, pair.out, pair.r);
    }
    offset = end;
    if (!config_.use_dora) continue;
    pair.magnitude = matrix(masters_, end, 1, pair.out);
    if (trainable()) pair.d_magnitude = matrix(gradients, end, 1, pair.out);
    const auto vector = [&] {
      return make_tensor(memory.allocate_array<float>("DoRA norms", pair.out), 1, pair.out,
                         DType::kF32, ctx_.device);
    };
    pair.squares = vector();
    pair.norms = vector();
    offset = end + pair.out;
    if (memory.planning()) continue;
    LoraSegment segment;
    run_alone(ctx_,
              [&](Context& ctx) { dora_squares(ctx, linear_of(pair, segment), pair.squares); });
  }
}

void LoraAdapter::initialize(uint64_t seed) {
  std::vector<float> parameters(parameters_.size());
  for (const LoraPair& pair : pairs_) {
    const auto flat = [&](const Tensor& matrix) {
      return std::span<float>(parameters.data() + (matrix.f32() - parameters_.data()),
                              static_cast<size_t>(matrix.size()));
    };
    initialize_lora(config_.init, seed, pair.module,
                    {flat(pair.a), flat(pair.b), pair.r, pair.in, pair.out});
  }
  upload(parameters);
  if (!config_.use_dora) return;
  for (const LoraPair& pair : pairs_) {  // the magnitudes that rows have
    copy_bytes(ctx_, pair.magnitude.data, pair.norms.data,
               static_cast<size_t>(pair.out) * sizeof(float));
  }
  synchronize(ctx_);
}

void LoraAdapter::upload(const std::vector<float>& parameters) {
  copy_bytes(ctx_, parameters_.data(), parameters.data(), parameters.size() * sizeof(float));
  if (!config_.use_dora) return refresh(ctx_);
  run_alone(ctx_, [&](Context& ctx) { refresh(ctx); });
}

void LoraAdapter::refresh(Context& ctx) const {
  if (computed_) cast(ctx, masters_, computed_);
  if (!config_.use_dora) return;
  LoraSegment segment;
  for (const LoraPair& pair : pairs_) {
    dora_norms(ctx, linear_of(pair, segment), pair.squares, pair.norms);
  }
}

void LoraAdapter::assign(const Adapter& adapter, const std::string& folder) {
  std::vector<float> parameters(parameters_.size());
  std::map<std::string, const AdapterPair*> stored;
  for (const AdapterPair& pair : adapter.pairs) stored[pair.module] = &pair;
  for (const LoraPair& pair : pairs_) {
    const auto found = stored.find(pair.module);
    QE_CHECK(found != stored.end(), folder,
             ": the adapter is for another base: it has no pair for ", pair.module);
    const AdapterPair& source = *found->second;
    QE_CHECK(source.r == pair.r && source.in == pair.in && source.out == pair.out, folder, ": ",
             pair.module, ": the adapter is for another base: expected A (", pair.r, ", ", pair.in,
             ") and B (", pair.out, ", ", pair.r, "), got A (", source.r, ", ", source.in,
             ") and B (", source.out, ", ", source.r, ")");
    QE_CHECK(source.magnitude.empty() != static_cast<bool>(pair.magnitude), folder, ": ",
             pair.module, ": expected ", pair.magnitude ? "" : "no ", "magnitudes (use_dora)");
    const auto place = [&](const Tensor& matrix) {
      return parameters.begin() + (matrix.f32() - parameters_.data());
    };
    std::copy(source.a.begin(), source.a.end(), place(pair.a));
    std::copy(source.b.begin(), source.b.end(), place(pair.b));
    if (pair.magnitude) {
      std::copy(source.magnitude.begin(), source.magnitude.end(), place(pair.magnitude));
    }
    stored.erase(found);
  }
  QE_CHECK(stored.empty(), folder, ": the adapter is for another base: this model has no linear \"",
           stored.begin()->first, "\"");
  upload(parameters);
}

std::vector<AdapterPairView> LoraAdapter::views() const {
  const float* host = parameters_.data();
  if (ctx_.device.kind != DeviceKind::kCpu) {
    host_parameters_.resize(parameters_.size());
    copy_bytes(ctx_, host_parameters_.data(), host, parameters_.size() * sizeof(float));
    synchronize(ctx_);
    host = host_parameters_.data();
  }
  return views(host);
}

std::vector<AdapterPairView> LoraAdapter::views(const float* host) const {
  std::vector<AdapterPairView> views;
  for (const LoraPair& pair : pairs_) {
    views.push_back(
        {pair.module, pair.r, pair.in, pair.out, host + (pair.a.f32() - parameters_.data()),
         host + (pair.b.f32() - parameters_.data()),
         pair.magnitude ? host + (pair.magnitude.f32() - parameters_.data()) : nullptr});
  }
  return views;
}

}  // namespace qe
