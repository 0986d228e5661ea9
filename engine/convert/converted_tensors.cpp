// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/convert/converted_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "engine/model/new_head.h"
#include "formats/atomic_write.h"
#include "formats/tensor_file.h"
#include "kernels/core/error.h"
#include "kernels/ops/gemm.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

constexpr const char* kWeight = ".weight";

// Gives the rows of k values their magnitudes.
void scale_rows(std::vector<float>& values, int64_t k, const std::vector<float>& magnitude) {
  for (size_t i = 0; i < magnitude.size(); ++i) {
    float* const row = values.data() + i * static_cast<size_t>(k);
    double square = 0.0;
    for (int64_t j = 0; j < k; ++j) square += static_cast<double>(row[j]) * row[j];
    const double factor = square > 0.0 ? magnitude[i] / std::sqrt(square) : 0.0;
    for (int64_t j = 0; j < k; ++j) row[j] = static_cast<float>(row[j] * factor);
  }
}

}  // namespace

ConvertedTensors::ConvertedTensors(const std::string& folder, const ConvertOptions& options,
                                   const Context& ctx)
    : folder_(folder),
      options_(options),
      ctx_(ctx),
      threads_(*ctx.threads),
      config_(read_encoder_config(folder)),
      source_(folder, family_of(config_.model_type)) {
  std::vector<Adapter> adapters;
  for (const WeightedAdapter& adapter : options_.adapters) {
    adapters.push_back(read_adapter(adapter.folder));
    adds_head_ = adds_head_ ||
                 (lacks_head(source_, config_) && has_new_head(adapters.back().config, config_));
  }
  WithNewHead with_head(source_, config_, 0);
  find_sites(adds_head_ ? static_cast<TensorSource&>(with_head) : source_);
  read_adapters(adapters);
  if (unties_decoder_) keep_untied_tables();
  if (!adds_head_) return;
  for (const BaseParameter& parameter : parameters_) {  // of the head, what no adapter has
    if (source_.has(parameter.name) || replaced_.contains(parameter.name)) continue;
    if (parameter.kind != ParameterKind::kBias || !with_head.has(parameter.name)) continue;
    const auto n = static_cast<size_t>(parameter.shape[0]);
    replace(parameter.name, {parameter.name, parameter.shape, std::vector<float>(n)}, folder_);
  }
}

void ConvertedTensors::find_sites(TensorSource& source) {
  Memory planning(true);
  const Context ctx{.threads = &threads_, .planning = true};
  const MaskedLm model = load_masked_lm(source, config_, options_.trained, ctx, planning);
  parameters_ = model.parameters;
  for (const LoraSite& linear : model.lora_sites()) {
    const std::string weight = linear.module + kWeight;
    Site site{
        .module = linear.module, .n = linear.out, .k = linear.in, .quant = options_.trained.quant};
    const std::optional<StoredQuant4> stored = source_.find_quantized(weight);
    if (stored) {
      QE_CHECK(options_.base == ConvertOptions::Base::kTrained, folder_, ": tensor \"", weight,
               "\" is stored in 4 bits: there are no original floats here");
      site.dtype = stored->dtype;
      site.quant = {stored->type, stored->nested(), stored->block_size};
    } else {
      const DType dtype = source.find(weight, {})->dtype;
      site.dtype = dtype == DType::kF64 ? DType::kF32 : dtype;
    }
    const bool quantizable = stored || quantizes(config_, linear.module);
    site.trained_quantized = options_.base == ConvertOptions::Base::kTrained && quantizable &&
                             (stored || options_.trained.bits == 4);
    site.written_quantized = options_.four_bit && (quantizable || options_.quantize_head);
    sites_.emplace(weight, std::move(site));
  }
}

void ConvertedTensors::read_adapters(std::vector<Adapter>& adapters) {
  for (size_t i = 0; i < adapters.size(); ++i) {
    fit_to_family(adapters[i], config_);
    read_pairs(options_.adapters[i], adapters[i]);
    read_full_tensors(options_.adapters[i], adapters[i]);
  }
  for (const auto& [name, replacement] : replaced_) {
    const auto found = sites_.find(name);
    if (found == sites_.end()) continue;
    QE_CHECK(found->second.deltas.empty(), replacement.adapter, ": ", name,
             " is replaced, but another adapter changes it too");
    found->second.trained_quantized = found->second.written_quantized = false;
  }
}

void ConvertedTensors::read_pairs(const WeightedAdapter& adapter, Adapter& stored) {
  const LoraTargets targets(stored.config);
  for (AdapterPair& pair : stored.pairs) {
    const auto found = sites_.find(pair.module + kWeight);
    QE_CHECK(found != sites_.end(), adapter.folder, ": the adapter is for another base: ", folder_,
             " has no linear \"", pair.module, "\"");
    Site& site = found->second;
    QE_CHECK(pair.in == site.k && pair.out == site.n, adapter.folder, ": ", pair.module,
             ": the adapter is for another base: expected a ", site.n, " x ", site.k,
             " linear, got ", pair.out, " x ", pair.in);
    const bool scales_rows = !pair.magnitude.empty();
    QE_CHECK(!scales_rows || adapter.weight == 1.0, adapter.folder,
             ": an adapter with magnitudes (DoRA) is merged with weight 1, got ", adapter.weight);
    QE_CHECK(site.deltas.empty() || (!scales_rows && site.deltas[0].pair.magnitude.empty()),
             adapter.folder, ": ", pair.module,
             ": an adapter with magnitudes (DoRA) is merged alone, others change this linear too");
    const double scale = adapter.weight * targets.scale(pair.module);
    site.deltas.push_back({std::move(pair), static_cast<float>(scale)});
  }
}

void ConvertedTensors::read_full_tensors(const WeightedAdapter& adapter, Adapter& stored) {
  QE_CHECK(stored.tensors.empty() || adapter.weight == 1.0, adapter.folder,
           ": an adapter with parameters in full (bias, modules_to_save) is merged with weight 1, "
           "got ",
           adapter.weight);
  for (const AdapterTensor& tensor : stored.tensors) {
    if (tensor.name.ends_with(kTokenRowsSuffix)) {
      read_token_rows(adapter, stored.config, tensor);
      continue;
    }
    std::string name = tensor.name;
    if (name.ends_with(kAdaptedBiasSuffix)) {
      name.replace(name.size() - std::strlen(kAdaptedBiasSuffix), std::string::npos, ".bias");
    }
    const auto found =
        std::find_if(parameters_.begin(), parameters_.end(), [&](const BaseParameter& p) {
          return p.trainable() && (p.name == name || p.alias == name);
        });
    QE_CHECK(found != parameters_.end(), adapter.folder,
             ": the adapter is for another base: ", folder_, " has no parameter for \"",
             tensor.name, "\"");
    QE_CHECK(tensor.shape == found->shape, adapter.folder, ": ", tensor.name,
             ": the adapter is for another base: expected shape ", shape_text(found->shape),
             ", got ", shape_text(tensor.shape));
    const bool is_table = found->name == config_.names.word_embeddings + kWeight ||
                          found->name == config_.names.decoder + kWeight;
    unties_decoder_ = unties_decoder_ || (is_table && config_.tied_decoder);
    replace(found->name, tensor, adapter.folder);
    if (!found->alias.empty()) replace(found->alias, tensor, adapter.folder);
  }
}

void ConvertedTensors::replace(const std::string& name, const AdapterTensor& tensor,
                               const std::string& adapter) {
  const StoredTensor* const stored = source_.find(name, tensor.shape);
  const bool typed = stored && is_floating(stored->dtype) && stored->dtype != DType::kF64;
  const auto [entry, added] = replaced_.try_emplace(
      name, Replacement{tensor.values, tensor.shape,
                        options_.dtype.value_or(typed ? stored->dtype : DType::kF32), adapter});
  // Of the names of a decoder's bias the later one counts, as where adapters are loaded.
  if (!added && entry->second.adapter == adapter) entry->second.values = tensor.values;
  QE_CHECK(added || entry->second.adapter == adapter, adapter, ": ", name, " is replaced by ",
           entry->second.adapter, " as well");
}

// The word table with the adapter's rows in it; a decoder that is tied to it stays so.
void ConvertedTensors::read_token_rows(const WeightedAdapter& adapter, const AdapterConfig& config,
                                       const AdapterTensor& rows) {
  const EncoderNames& names = config_.names;
  const std::string word = names.word_embeddings + kWeight;
  const std::string decoder = names.decoder + kWeight;
  const StoredTensor* stored = source_.find(word, {});
  if (!stored && config_.tied_decoder) stored = source_.find(decoder, {});
  QE_CHECK(stored && rows.name == names.word_embeddings + kTokenRowsSuffix, adapter.folder,
           ": the adapter is for another base: ", folder_, " has no parameter for \"", rows.name,
           "\"");
  AdapterTensor table{word, stored->shape, stored->to_f32()};
  const std::vector<int64_t>& ids = config.trainable_tokens.front().second;
  const int64_t cols = table.shape.back();
  const std::vector<int64_t> expected = {static_cast<int64_t>(ids.size()), cols};
  QE_CHECK(rows.shape == expected, adapter.folder, ": ", rows.name,
           ": the adapter is for another base: expected shape ", shape_text(expected), ", got ",
           shape_text(rows.shape));
  for (size_t i = 0; i < ids.size(); ++i) {
    QE_CHECK(ids[i] >= 0 && ids[i] < table.shape.front(), adapter.folder,
             ": trainable_token_indices: expected 0 to ", table.shape.front() - 1, ", got ",
             ids[i]);
    std::copy_n(rows.values.begin() + static_cast<std::ptrdiff_t>(i) * cols, cols,
                table.values.begin() + ids[i] * cols);
  }
  replace(word, table, adapter.folder);
  if (config_.tied_decoder && source_.has(decoder)) replace(decoder, table, adapter.folder);
}

// Of two tables that were one, the one that no adapter has stays as it was.
void ConvertedTensors::keep_untied_tables() {
  const std::string names[] = {config_.names.word_embeddings + kWeight,
                               config_.names.decoder + kWeight};
  for (int i : {0, 1}) {
    if (has(names[i])) continue;
    const StoredTensor* const other = source_.find(names[1 - i], {});
    replace(names[i], {names[i], other->shape, other->to_f32()}, folder_);
  }
}

bool ConvertedTensors::holds_different(const std::string& a, const std::string& b) const {
  return unties_decoder_ ? has(a) && has(b) : source_.holds_different(a, b);
}

int64_t ConvertedTensors::n_quantized() const {
  return std::count_if(sites_.begin(), sites_.end(),
                       [](const auto& entry) { return entry.second.written_quantized; });
}

int64_t ConvertedTensors::n_merged() const {
  return std::count_if(sites_.begin(), sites_.end(), [&](const auto& entry) {
    return !entry.second.deltas.empty() || replaced_.contains(entry.first);
  });
}

const ConvertedTensors::Site* ConvertedTensors::site(const std::string& weight_name) const {
  const auto found = sites_.find(weight_name);
  return found == sites_.end() ? nullptr : &found->second;
}

// The weight's new values, (N, K) fp32.
std::vector<float> ConvertedTensors::values(const Site& site) const {
  const std::string weight = site.module + kWeight;
  std::vector<float> values;
  if (const std::optional<StoredQuant4> stored = source_.find_quantized(weight)) {
    values = HostQuant4(*stored).dequantized(threads_);
  } else {
    const StoredTensor& tensor = *source_.find(weight, {});
    values = tensor.to_f32();
    try {
      if (site.trained_quantized) {
        values = HostQuant4(make_tensor(values.data(), site.n, site.k), options_.trained.quant,
                            DType::kF32, threads_)
                     .dequantized(threads_);
      }
    } catch (const Error& error) {
      fail(*tensor.file, ": tensor \"", tensor.name, "\": ", error.what());
    }
  }
  if (!site.deltas.empty()) add_deltas(site, values);
  return values;
}

// values += scale * B A, for every adapter.
void ConvertedTensors::add_deltas(const Site& site, std::vector<float>& values) const {
  Memory memory(ctx_);
  Context ctx = ctx_;
  const auto on_device = [&](const std::vector<float>& data, int64_t rows, int64_t cols) {
    float* const host = const_cast<float*>(data.data());  // only the sum is written
    if (ctx.device.kind == DeviceKind::kCpu) return make_tensor(host, rows, cols);
    float* const copy = memory.allocate_array<float>("operands", rows * cols);
    copy_bytes(ctx, copy, host, data.size() * sizeof(float));
    return make_tensor(copy, rows, cols, DType::kF32, ctx.device);
  };
  const Tensor sum = on_device(values, site.n, site.k);
  for (const Delta& delta : site.deltas) {
    const AdapterPair& pair = delta.pair;
    const Gemm product{.a = on_device(pair.b, pair.out, pair.r),
                       .b = on_device(pair.a, pair.r, pair.in),
                       .b_transposed = false,
                       .alpha = delta.scale,
                       .c = sum,
                       .mode = GradientMode::kAccumulate};
    run_alone(ctx, [&](Context& alone) { gemm(alone, product); });
  }
  if (sum.data != values.data()) {
    copy_bytes(ctx, values.data(), sum.data, values.size() * sizeof(float));
    synchronize(ctx);
  }
  const std::vector<float>& magnitude = site.deltas[0].pair.magnitude;
  if (!magnitude.empty()) scale_rows(values, site.k, magnitude);
}

std::unique_ptr<HostQuant4> ConvertedTensors::quantized(const Site& site) const {
  if (site.deltas.empty()) {
    const std::optional<StoredQuant4> stored = source_.find_quantized(site.module + kWeight);
    if (stored) return std::make_unique<HostQuant4>(*stored);
  }
  std::vector<float> values = this->values(site);
  try {
    return std::make_unique<HostQuant4>(make_tensor(values.data(), site.n, site.k), site.quant,
                                        site.dtype, threads_);
  } catch (const Error& error) {
    fail(folder_, ": tensor \"", site.module, kWeight, "\": ", error.what());
  }
}

std::vector<std::byte> ConvertedTensors::floats(const Site& site) const {
  return bytes_of(values(site), options_.dtype.value_or(site.dtype),
                  cat(folder_, ": tensor \"", site.module, kWeight, "\""));
}

const StoredTensor* ConvertedTensors::find(const std::string& name,
                                           const std::vector<int64_t>& shape) {
  if (const auto found = replaced_.find(name); found != replaced_.end()) {
    const Replacement& replacement = found->second;
    held_bytes_ = bytes_of(replacement.values, replacement.dtype, name);
    held_ = StoredTensor{.name = name,
                         .dtype = replacement.dtype,
                         .shape = replacement.shape,
                         .bytes = held_bytes_,
                         .file = &folder_};
    return &held_;
  }
  const Site* site = this->site(name);
  if (!site || !site->changes()) return source_.find(name, shape);
  held_bytes_ = floats(*site);
  held_ = StoredTensor{.name = name,
                       .dtype = options_.dtype.value_or(site->dtype),
                       .shape = {site->n, site->k},
                       .bytes = held_bytes_,
                       .file = &folder_};
  return &held_;
}

std::optional<StoredQuant4> ConvertedTensors::find_quantized(const std::string& name) const {
  const Site* site = this->site(name);
  if (!site || !site->written_quantized || replaced_.contains(name)) return {};
  held_quantized_ = quantized(*site);
  return held_quantized_->stored();
}

// The type that transformers loads the new folder in, so that no weight loses anything.
std::string ConvertedTensors::widest_type() const {
  DType widest = *options_.dtype;
  const Family& family = family_of(config_.model_type);
  for (const auto& [name, stored] : source_.files().tensors()) {
    const std::string canonical = canonical_tensor_name(family, name);
    const Site* site = this->site(canonical);
    const bool changes = (site && site->changes()) || replaced_.contains(canonical);
    if (!is_floating(stored->dtype) || changes) continue;
    if (stored->dtype != widest) widest = DType::kF32;
  }
  return std::string(dtype_torch_name(widest));
}

Json ConvertedTensors::written_config() const {
  const Json config = Json::parse_file(folder_ + "/config.json");
  Json written = Json::object();
  for (const auto& [key, value] : config.members()) {
    if (key != "quantization_config") written.set(key, value);
  }
  if (adds_head_) {
    Json architectures = Json::array();
    architectures.push_back(config_.masked_lm_class);
    written.set("architectures", architectures);
  }
  if (unties_decoder_) written.set("tie_word_embeddings", false);
  if (options_.dtype) written.set(config.find("dtype") ? "dtype" : "torch_dtype", widest_type());
  if (!options_.four_bit) return written;
  // What must stay in floats, by names that every release of transformers understands.
  Json skip = Json::array();
  if (options_.quantize_head) {
    skip.push_back(config_.names.decoder);
  } else {
    for (const std::string& prefix : config_.quantize_skip) skip.push_back(prefix);
  }
  for (const auto& [name, site] : sites_) {
    if (replaced_.contains(name)) skip.push_back(site.module);
  }
  Quant4Options quant = options_.trained.quant;
  for (const auto& [name, site] : sites_) {
    if (site.written_quantized) quant = site.quant;
  }
  written.set(
      "quantization_config",
      Json::object({{"_load_in_4bit", true},
                    {"_load_in_8bit", false},
                    {"bnb_4bit_compute_dtype", "float32"},
                    {"bnb_4bit_quant_storage", std::string(dtype_torch_name(options_.storage))},
                    {"bnb_4bit_quant_type", quant.type == Quant4Type::kNf4 ? "nf4" : "fp4"},
                    {"bnb_4bit_use_double_quant", quant.double_quant},
                    {"llm_int8_enable_fp32_cpu_offload", false},
                    {"llm_int8_has_fp16_weight", false},
                    {"llm_int8_skip_modules", skip},
                    {"llm_int8_threshold", 6.0},
                    {"load_in_4bit", true},
                    {"load_in_8bit", false},
                    {"quant_method", "bitsandbytes"}}));
  return written;
}

// Whether this is a part of the decoder that shares another tensor's memory in the file.
bool ConvertedTensors::is_tied_copy(const std::string& canonical,
                                    const StoredTensor& stored) const {
  const EncoderNames& names = config_.names;
  if (replaced_.contains(canonical)) return false;
  const auto shares = [&](const std::string& other) {
    const StoredTensor* tensor = other == canonical ? nullptr : source_.find(other, {});
    return tensor && tensor->bytes.data() == stored.bytes.data();
  };
  if (canonical == names.decoder + ".bias") return shares(names.decoder_bias);
  return config_.tied_decoder && !unties_decoder_ && canonical == names.decoder + kWeight &&
         shares(names.word_embeddings + kWeight);
}

void ConvertedTensors::write(const std::string& folder) const {
  const Family& family = family_of(config_.model_type);
  std::vector<TensorToWrite> tensors;
  std::vector<std::unique_ptr<HostQuant4>> quantized;
  std::vector<std::unique_ptr<Quant4Tensors>> parts;
  std::set<std::string> written;
  const auto add_replaced = [&](const std::string& name, const std::string& canonical) {
    written.insert(canonical);
    const Replacement& replacement = replaced_.at(canonical);
    tensors.push_back({.name = name,
                       .dtype = replacement.dtype,
                       .shape = replacement.shape,
                       .produce = [&, canonical](const Append& append) {
                         const Replacement& of = replaced_.at(canonical);
                         append(bytes_of(of.values, of.dtype, folder_ + ": " + canonical));
                       }});
  };
  const auto add = [&](const std::string& name, const std::string& canonical,
                       const StoredTensor& stored) {
    const Site* site = this->site(canonical);
    if (replaced_.contains(canonical)) {
      add_replaced(name, canonical);
    } else if (site && site->written_quantized) {
      quantized.push_back(this->quantized(*site));
      parts.push_back(
          std::make_unique<Quant4Tensors>(name, quantized.back()->stored(), options_.storage));
      const std::vector<TensorToWrite>& of_weight = parts.back()->tensors();
      tensors.insert(tensors.end(), of_weight.begin(), of_weight.end());
    } else if (site && site->changes()) {
      tensors.push_back({.name = name,
                         .dtype = options_.dtype.value_or(site->dtype),
                         .shape = {site->n, site->k},
                         .produce = [this, site](const Append& append) { append(floats(*site)); }});
    } else {
      tensors.push_back({name, stored.dtype, stored.shape, stored.bytes.data(), {}});
    }
  };
  for (const auto& [name, stored] : source_.files().tensors()) {
    if (quant4_weight_of(name)) continue;  // stands with its weight
    const std::string canonical = family.canonical_name(name);
    if (is_tied_copy(canonical, *stored)) continue;
    const std::vector<std::string> names = split_name(canonical);
    if (names.size() == 1) {
      // A bare encoder's names lack what a head's folder has before them.
      add(adds_head_ && !canonical.empty() ? canonical : name, canonical, *stored);
      continue;
    }
    // One tensor that is several modules is written as theirs.
    for (size_t i = 0; i < names.size(); ++i) {
      add(names[i], names[i], part_of(*stored, i, names.size(), names[i]));
    }
  }
  for (const auto& [name, replacement] : replaced_) {
    if (!written.contains(name)) add_replaced(name, name);
  }
  write_safetensors(folder + "/model.safetensors", std::move(tensors));
  write_file_atomically(folder + "/config.json", written_config().dump(2, true) + "\n");
}

}  // namespace qe
