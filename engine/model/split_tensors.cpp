// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/split_tensors.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "kernels/ops/gemm.h"

namespace qe {
namespace {

constexpr const char* kWeight = ".weight";

}  // namespace

SplitTensors::SplitTensors(TensorSource& source, const EncoderConfig& config,
                           const BaseOptions& base, const AdapterConfig& adapter, uint64_t seed,
                           const Context& ctx)
    : TensorsOver(source), config_(config), base_(base), adapter_(adapter), threads_(*ctx.threads) {
  find_sites();
  if (ctx.planning) {
    sites_.clear();
  } else {
    split_all(seed);
    if (!splits_base(adapter.init)) sites_.clear();
  }
}

void SplitTensors::find_sites() {
  Memory counting(true);
  const Context ctx{.threads = &threads_, .planning = true};
  const MaskedLm model = load_masked_lm(source_, config_, base_, ctx, counting);
  const LoraTargets targets(adapter_);
  for (const LoraSite& linear : model.lora_sites()) {
    if (!targets.matches(linear.module)) continue;
    const std::string weight = linear.module + kWeight;
    const bool stored_in_4_bits = source_.find_quantized(weight).has_value();
    const bool in_4_bits = stored_in_4_bits || linear.weight.is_quantized();
    if (adapter_.init == AdapterConfig::Init::kLoftq) {
      if (!in_4_bits) continue;
      QE_CHECK(!stored_in_4_bits, source_.name(), ": tensor \"", weight,
               "\" is stored in 4 bits: init_lora_weights \"loftq\" needs its floats, too");
    }
    const Site site{.module = linear.module,
                    .n = linear.out,
                    .k = linear.in,
                    .r = targets.rank(linear.module),
                    .scale = targets.scale(linear.module),
                    .in_4_bits = in_4_bits};
    QE_CHECK(site.r <= std::min(site.n, site.k), site.module, ": a rank of ", site.r,
             ", but init_lora_weights takes factors from a weight of ", site.n, " x ", site.k);
    QE_CHECK(site.scale > 0.0, site.module,
             ": init_lora_weights needs a positive lora_alpha, the adapter is scaled by ",
             site.scale);
    sites_.emplace(weight, site);
  }
  QE_CHECK(
      !sites_.empty() || adapter_.init != AdapterConfig::Init::kLoftq,
      "init_lora_weights: \"loftq\" makes up for what 4 bits lose, but no adapted weight is in "
      "4 bits");
}

// Weights are decoded one by one (that has threads of its own), and taken apart beside each other.
void SplitTensors::split_all(uint64_t seed) {
  std::vector<const Site*> sites;
  for (const auto& [name, site] : sites_) sites.push_back(&site);
  const auto n_at_once = static_cast<size_t>(threads_.n_threads());
  for (size_t begin = 0; begin < sites.size(); begin += n_at_once) {
    const size_t n = std::min(n_at_once, sites.size() - begin);
    std::vector<std::vector<float>> weights;
    for (size_t i = 0; i < n; ++i) weights.push_back(values(*sites[begin + i]));
    std::vector<InitialFactors> found(n);
    threads_.run(static_cast<int64_t>(n), [&](int64_t task, int) {
      const auto i = static_cast<size_t>(task);
      const Site& site = *sites[begin + i];
      found[i] = factors_from(adapter_, seed, site.module, {weights[i], site.n, site.k}, site.r,
                              site.scale);
    });
    for (size_t i = 0; i < n; ++i) factors_[sites[begin + i]->module] = std::move(found[i]);
  }
}

const SplitTensors::Site* SplitTensors::site(const std::string& weight_name) const {
  const auto found = sites_.find(weight_name);
  return found == sites_.end() ? nullptr : &found->second;
}

// The weight that factors are taken from, (N, K).
std::vector<float> SplitTensors::values(const Site& site) const {
  const std::string weight = site.module + kWeight;
  if (const std::optional<StoredQuant4> stored = source_.find_quantized(weight)) {
    return HostQuant4(*stored).dequantized(threads_);
  }
  const StoredTensor& tensor = source_.read(*source_.find(weight, {site.n, site.k}));
  std::vector<float> values = tensor.to_f32();
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  QE_CHECK(bad == values.end(), *tensor.file, ": tensor \"", tensor.name, "\": element ",
           bad - values.begin(), " is ", *bad);
  if (!site.in_4_bits || adapter_.init == AdapterConfig::Init::kPissa) return values;
  std::vector<float> decoded =
      HostQuant4(make_tensor(values.data(), site.n, site.k), base_.quant, DType::kF32, threads_)
          .dequantized(threads_);
  if (adapter_.init == AdapterConfig::Init::kOlora) return decoded;
  for (size_t i = 0; i < values.size(); ++i) values[i] -= decoded[i];
  return values;
}

// values - scale * B A.
std::vector<float> SplitTensors::rest(const Site& site) const {
  std::vector<float> values = this->values(site);
  const InitialFactors& factors = factors_.at(site.module);
  const auto matrix = [](const std::vector<float>& data, int64_t rows, int64_t cols) {
    return make_tensor(const_cast<float*>(data.data()), rows, cols);  // only the sum is written
  };
  const Gemm product{.a = matrix(factors.b, site.n, site.r),
                     .b = matrix(factors.a, site.r, site.k),
                     .b_transposed = false,
                     .alpha = static_cast<float>(-site.scale),
                     .c = matrix(values, site.n, site.k),
                     .mode = GradientMode::kAccumulate};
  run_on_host(threads_, [&](Context& ctx) { gemm(ctx, product); });
  return values;
}

const StoredTensor* SplitTensors::find(const std::string& name, const std::vector<int64_t>& shape) {
  const StoredTensor* stored = source_.find(name, shape);
  found_ = stored ? site(name) : nullptr;
  if (!found_) return stored;
  made_ = *stored;
  made_.bytes = {};
  const bool as_stored = !found_->in_4_bits && stored->dtype != DType::kF64;
  made_.dtype = as_stored ? stored->dtype : DType::kF32;
  return &made_;
}

const StoredTensor& SplitTensors::read(const StoredTensor& found) {
  if (&found != &made_) return source_.read(found);
  rest_bytes_ = bytes_of(rest(*found_), made_.dtype,
                         cat(*made_.file, ": tensor \"", made_.name, "\" without its factors"));
  made_.bytes = rest_bytes_;
  return made_;
}

std::optional<StoredQuant4> SplitTensors::find_quantized(const std::string& name) const {
  const std::optional<StoredQuant4> stored = source_.find_quantized(name);
  const Site* const site = stored ? this->site(name) : nullptr;
  if (!site) return stored;
  const Quant4Options quant{stored->type, stored->nested(), stored->block_size};
  const DType dtype = stored->dtype;
  std::vector<float> values = rest(*site);
  rest_quantized_ = std::make_unique<HostQuant4>(make_tensor(values.data(), site->n, site->k),
                                                 quant, dtype, threads_);
  return rest_quantized_->stored();
}

}  // namespace qe
