// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/lora.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/memory/planning.h"
#include "formats/tensor_file.h"
#include "kernels/ops/dora.h"
#include "kernels/ops/mlm_loss.h"
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

// Full tensors begin at multiples of so many values: products read them in whole packs.
constexpr int64_t kAlignment = 64;

int64_t whole(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// What the adapter calls a parameter that it has in full; empty: it has not. adapted: its module
// has a pair.
std::vector<std::string> stored_names(const AdapterConfig& config, const BaseParameter& parameter,
                                      bool adapted) {
  const auto module_of = [](const std::string& name) { return name.substr(0, name.rfind('.')); };
  std::vector<std::string> names;
  for (const std::string& name : {parameter.name, parameter.alias}) {
    if (!name.empty() && is_saved_module(module_of(name), config.modules_to_save)) {
      names.push_back(name);
    }
  }
  if (!names.empty() || !parameter.name.ends_with(".bias")) return names;
  if (adapted && config.bias != AdapterConfig::Bias::kNone) {
    return {parameter.module() + kAdaptedBiasSuffix};
  }
  if (config.bias != AdapterConfig::Bias::kAll) return {};
  names = {parameter.name};
  if (!parameter.alias.empty()) names.push_back(parameter.alias);
  return names;
}

}  // namespace

LoraAdapter::LoraAdapter(const AdapterConfig& config, const AdaptedBase& base, bool trainable,
                         const Context& ctx, Memory& memory)
    : config_(config),
      ctx_(ctx),
      index_of_linear_(base.n_linears, -1),
      index_of_parameter_(base.parameters.size(), -1) {
  QE_CHECK(config.r > 0, "lora_r: expected a positive rank, got ", config.r);
  choose_pairs(base);
  choose_full_tensors(base.parameters);
  if (!config_.trainable_tokens.empty()) choose_token_rows(base);
  divide();
  allocate(trainable, memory);
  place();
  if (token_rows_) make_slots(memory);
  if (config_.use_dora) make_norms(memory);
  for (const LoraPair& pair : pairs_) {
    if (splits_base(config.init)) initial_.add(pair.module, pair.r, pair.in, pair.out, memory);
  }
}

void LoraAdapter::choose_pairs(const AdaptedBase& base) {
  const LoraTargets targets(config_);
  for (const LoraSite& site : base.sites) {
    if (!targets.matches(site.module)) continue;
    QE_CHECK(!is_saved_module(site.module, config_.modules_to_save),
             "modules_to_save: an entry is the end of a name only, of \"", site.module,
             "\" or of what it is in; give whole names");
    index_of_linear_[site.linear_id] = static_cast<int>(pairs_.size());
    pairs_.push_back(LoraPair{.module = site.module,
                              .r = targets.rank(site.module),
                              .in = site.in,
                              .out = site.out,
                              .scale = static_cast<float>(targets.scale(site.module)),
                              .weight = site.weight});
  }
  QE_CHECK(!pairs_.empty(), "target_modules [",
           config_.target_regex.empty() ? join(config_.target_modules) : config_.target_regex,
           "] match no linear layer of the model; it has for example \"",
           base.sites.empty() ? "" : base.sites.front().module, "\"");
  if (!config_.all_linear) return;
  config_.target_modules.clear();  // peft stores the expanded list
  for (const LoraPair& pair : pairs_) config_.target_modules.push_back(pair.module);
}

void LoraAdapter::choose_full_tensors(const std::vector<BaseParameter>& parameters) {
  std::set<std::string> adapted;
  for (const LoraPair& pair : pairs_) adapted.insert(pair.module);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const BaseParameter& parameter = parameters[i];
    const std::vector<std::string> names =
        stored_names(config_, parameter, adapted.contains(parameter.module()));
    if (names.empty()) continue;
    const std::string module = parameter.module();
    QE_CHECK(n_saved_modules(module, config_.modules_to_save) <= 1, "modules_to_save: \"", module,
             "\" is in a module that is saved as well, which peft cannot load");
    QE_CHECK(parameter.trainable(), "bias or modules_to_save: \"", parameter.name,
             "\" cannot be trained here");
    const int64_t cols = parameter.shape.back();
    const int64_t rows = parameter.shape.size() > 1 ? parameter.shape.front() : 1;
    index_of_parameter_[i] = static_cast<int>(full_tensors_.size());
    full_tensors_.push_back(FullTensor{.names = names,
                                       .kind = parameter.kind,
                                       .shape = parameter.shape,
                                       .base = parameter.value,
                                       .decoder = parameter.decoder,
                                       .value = {.rows = rows, .cols = cols}});
  }
}

void LoraAdapter::choose_token_rows(const AdaptedBase& base) {
  constexpr const char* kKey = "trainable_token_indices";
  QE_CHECK(base.word_table != kNoParameter, kKey, ": the model has no word table");
  const BaseParameter& table = base.parameters[static_cast<size_t>(base.word_table)];
  const std::vector<int64_t>* ids = nullptr;
  for (const auto& [module, indices] : config_.trainable_tokens) {
    const bool is_decoder = !module.empty() && base.decoder.ends_with(module);
    QE_CHECK(is_decoder ? base.tied_decoder : table.module().ends_with(module), kKey, ": \"",
             module, "\" is not the word table, \"", table.module(), "\"");
    QE_CHECK(!ids || *ids == indices, kKey,
             ": the word table and the decoder tied to it have the same tokens");
    ids = &indices;
  }
  QE_CHECK(index_of_parameter_[static_cast<size_t>(base.word_table)] < 0, kKey,
           ": the word table is trained in full already (modules_to_save)");
  token_rows_ = TokenRows{.name = table.module() + kTokenRowsSuffix, .table = table.value};
  std::set<int64_t> seen;
  for (const int64_t id : *ids) {
    QE_CHECK(id >= 0 && id < table.value.n(), kKey, ": expected 0 to ", table.value.n() - 1,
             ", got ", id);
    QE_CHECK(seen.insert(id).second, kKey, ": ", id, " stands there twice");
    token_rows_->chosen.push_back(static_cast<int32_t>(id));
  }
}

void LoraAdapter::add_piece(const std::string& name, ParameterKind kind, int64_t rows,
                            int64_t cols) {
  named_.push_back({name, kind, {.rows = rows, .cols = cols}, {}});
  offsets_.push_back(n_values_);
  n_values_ += rows * cols;
}

// By kinds, so that what optimizers treat alike is one piece.
void LoraAdapter::divide() {
  for (const LoraPair& pair : pairs_) {
    add_piece(pair.module + kLoraASuffix, ParameterKind::kLoraA, pair.r, pair.in);
  }
  for (const LoraPair& pair : pairs_) {
    add_piece(pair.module + kLoraBSuffix, ParameterKind::kLoraB, pair.out, pair.r);
  }
  for (const LoraPair& pair : pairs_) {
    if (!config_.use_dora) break;
    add_piece(pair.module + kLoraMagnitudeSuffix, ParameterKind::kMagnitude, 1, pair.out);
  }
  for (const FullTensor& full : full_tensors_) {
    n_values_ = whole(n_values_, kAlignment);
    const Tensor& value = full.value;
    add_piece(full.names.front(), full.kind, value.rows, value.cols);
    if (!full.decoder) continue;
    const bool is_vector = full.kind == ParameterKind::kBias;
    const int64_t units = is_vector ? value.cols : value.rows;
    n_values_ += (whole(units, kMlmDecoderRowMultiple) - units) * (is_vector ? 1 : value.cols);
  }
  if (!token_rows_) return;
  n_values_ = whole(n_values_, kAlignment);
  add_piece(token_rows_->name, ParameterKind::kTokenRows,
            static_cast<int64_t>(token_rows_->chosen.size()), token_rows_->table.k());
}

// Where the rows are found by token.
void LoraAdapter::make_slots(Memory& memory) {
  TokenRows& rows = *token_rows_;
  const int64_t n = rows.table.n();
  int32_t* const ids = memory.allocate_array<int32_t>("token rows", rows.value.rows);
  int32_t* const slots = memory.allocate_array<int32_t>("token rows", n);
  rows.ids = {ids, rows.chosen.size()};
  rows.slots = {slots, static_cast<size_t>(n)};
  if (memory.planning()) return;
  std::vector<int32_t> of_ids(static_cast<size_t>(n), -1);
  for (size_t i = 0; i < rows.chosen.size(); ++i) {
    of_ids[static_cast<size_t>(rows.chosen[i])] = static_cast<int32_t>(i);
  }
  copy_bytes(ctx_, ids, rows.chosen.data(), rows.ids.size_bytes());
  copy_bytes(ctx_, slots, of_ids.data(), rows.slots.size_bytes());
  synchronize(ctx_);
}

void LoraAdapter::allocate(bool trainable, Memory& memory) {
  const auto flat = [&](const char* row) {
    return std::span<float>(memory.allocate_array<float>(row, n_values_),
                            static_cast<size_t>(n_values_));
  };
  parameters_ = flat("LoRA parameters");
  if (trainable) gradients_ = flat("LoRA gradients");
  masters_ = make_tensor(parameters_.data(), 1, n_values_, DType::kF32, ctx_.device);
  if (ctx_.compute == DType::kF32) return;
  void* data = memory.allocate(cat("LoRA parameters (", dtype_name(ctx_.compute), ")"),
                               static_cast<size_t>(n_values_) * dtype_size(ctx_.compute));
  computed_ = make_tensor(data, 1, n_values_, ctx_.compute, ctx_.device);
}

LoraAdapter::Views LoraAdapter::views_of(size_t piece) const {
  const Tensor& shape = named_[piece].value;
  const auto view = [&](const Tensor& flat) {
    return make_tensor(flat.col_range(offsets_[piece], 0).data, shape.rows, shape.cols, flat.dtype,
                       flat.device);
  };
  Views views{.value = view(masters_), .computed = view(computed_ ? computed_ : masters_)};
  if (trainable()) {
    views.gradient = view(make_tensor(gradients_.data(), 1, n_values_, DType::kF32, ctx_.device));
  }
  return views;
}

// Gives pairs and full tensors their views, in the order of divide.
void LoraAdapter::place() {
  size_t piece = 0;
  const auto next = [&] {
    const Views views = views_of(piece);
    named_[piece].value = views.value;
    named_[piece].gradient = views.gradient;
    ++piece;
    return views;
  };
  for (LoraPair& pair : pairs_) {
    const Views a = next();
    pair.a = a.value, pair.computed_a = a.computed, pair.d_a = a.gradient;
  }
  for (LoraPair& pair : pairs_) {
    const Views b = next();
    pair.b = b.value, pair.computed_b = b.computed, pair.d_b = b.gradient;
  }
  for (LoraPair& pair : pairs_) {
    if (!config_.use_dora) break;
    const Views magnitude = next();
    pair.magnitude = magnitude.value, pair.d_magnitude = magnitude.gradient;
  }
  for (FullTensor& full : full_tensors_) {
    const Views views = next();
    full.value = views.value, full.computed = views.computed, full.gradient = views.gradient;
  }
  if (!token_rows_) return;
  const Views rows = next();
  token_rows_->value = rows.value;
  token_rows_->computed = rows.computed;
  token_rows_->gradient = rows.gradient;
}

void LoraAdapter::make_norms(Memory& memory) {
  for (LoraPair& pair : pairs_) {
    const auto vector = [&] {
      return make_tensor(memory.allocate_array<float>("DoRA norms", pair.out), 1, pair.out,
                         DType::kF32, ctx_.device);
    };
    pair.squares = vector();
    pair.norms = vector();
    if (memory.planning()) continue;
    LoraSegment segment;
    run_alone(ctx_,
              [&](Context& ctx) { dora_squares(ctx, linear_of(pair, segment), pair.squares); });
  }
}

int64_t LoraAdapter::n_parameters() const {
  int64_t n = 0;
  for (const NamedParameter& parameter : named_) n += parameter.value.size();
  return n;
}

void LoraAdapter::initialize(uint64_t seed, const GivenFactors& given) {
  initial_.keep(given);
  std::vector<float> parameters(parameters_.size());
  for (const LoraPair& pair : pairs_) {
    const auto flat = [&](const Tensor& matrix) {
      return std::span<float>(parameters.data() + (matrix.f32() - parameters_.data()),
                              static_cast<size_t>(matrix.size()));
    };
    const LoraFactors factors{flat(pair.a), flat(pair.b), pair.r, pair.in, pair.out};
    if (const auto found = given.find(pair.module); found != given.end()) {
      std::copy(found->second.a.begin(), found->second.a.end(), factors.a.begin());
      std::copy(found->second.b.begin(), found->second.b.end(), factors.b.begin());
    } else {
      initialize_lora(config_.init, seed, pair.module, factors);
    }
  }
  copy_bytes(ctx_, parameters_.data(), parameters.data(), parameters.size() * sizeof(float));
  for (const FullTensor& full : full_tensors_) {
    QE_CHECK(!full.base.is_quantized(), full.names.front(),
             ": a weight in 4 bits cannot be trained in full");
    cast(ctx_, full.base.dense(), full.value);
  }
  if (token_rows_) {
    for (size_t i = 0; i < token_rows_->chosen.size(); ++i) {
      cast(ctx_, token_rows_->table.dense().row_range(token_rows_->chosen[i], 1),
           token_rows_->value.row_range(static_cast<int64_t>(i), 1));
    }
  }
  update_derived();
  if (!config_.use_dora) return;
  for (const LoraPair& pair : pairs_) {  // the magnitudes that rows have
    copy_bytes(ctx_, pair.magnitude.data, pair.norms.data,
               static_cast<size_t>(pair.out) * sizeof(float));
  }
  synchronize(ctx_);
}

// refresh, with scratch of its own.
void LoraAdapter::update_derived() {
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

void LoraAdapter::assign(const Adapter& written, const std::string& folder) {
  std::optional<Adapter> separated;
  if (!initial_.empty()) separated = initial_.separated(written, folder);
  const Adapter& adapter = separated ? *separated : written;
  std::vector<float> parameters(parameters_.size());
  assign_pairs(adapter, folder, parameters);
  assign_full_tensors(adapter, folder, parameters);
  copy_bytes(ctx_, parameters_.data(), parameters.data(), parameters.size() * sizeof(float));
  update_derived();
}

void LoraAdapter::assign_pairs(const Adapter& adapter, const std::string& folder,
                               std::vector<float>& to) const {
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
      return to.begin() + (matrix.f32() - parameters_.data());
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
}

void LoraAdapter::assign_full_tensors(const Adapter& adapter, const std::string& folder,
                                      std::vector<float>& to) const {
  std::map<std::string, const AdapterTensor*> stored;
  for (const AdapterTensor& tensor : adapter.tensors) stored[tensor.name] = &tensor;
  for (const FullTensor& full : full_tensors_) {
    const AdapterTensor* source = nullptr;
    for (const std::string& name : full.names) {
      const auto found = stored.find(name);
      if (found == stored.end()) continue;
      source = found->second;  // of two names the later: the decoder's own
      stored.erase(found);
    }
    QE_CHECK(source, folder, ": the adapter is for another base: it has no tensor ",
             full.names.front());
    QE_CHECK(source->shape == full.shape, folder, ": ", source->name,
             ": the adapter is for another base: expected shape ", shape_text(full.shape), ", got ",
             shape_text(source->shape));
    std::copy(source->values.begin(), source->values.end(),
              to.begin() + (full.value.f32() - parameters_.data()));
  }
  if (token_rows_) {
    const auto found = stored.find(token_rows_->name);
    QE_CHECK(found != stored.end(), folder, ": the adapter is for another base: it has no tensor ",
             token_rows_->name);
    const std::vector<int64_t> shape = {token_rows_->value.rows, token_rows_->value.cols};
    QE_CHECK(found->second->shape == shape, folder, ": ", found->first,
             ": the adapter is for another base: expected shape ", shape_text(shape), ", got ",
             shape_text(found->second->shape));
    std::copy(found->second->values.begin(), found->second->values.end(),
              to.begin() + (token_rows_->value.f32() - parameters_.data()));
    stored.erase(found);
  }
  QE_CHECK(stored.empty(), folder,
           ": the adapter is for another base: this model has no parameter for \"",
           stored.begin()->first, "\"");
}

AdapterView LoraAdapter::views() const {
  const float* host = parameters_.data();
  if (ctx_.device.kind != DeviceKind::kCpu) {
    host_parameters_.resize(parameters_.size());
    copy_bytes(ctx_, host_parameters_.data(), host, parameters_.size() * sizeof(float));
    synchronize(ctx_);
    host = host_parameters_.data();
  }
  return views(host);
}

AdapterView LoraAdapter::views(const float* host) const {
  AdapterView view;
  const auto at = [&](const Tensor& value) { return host + (value.f32() - parameters_.data()); };
  for (const LoraPair& pair : pairs_) {
    view.pairs.push_back({pair.module, pair.r, pair.in, pair.out, at(pair.a), at(pair.b),
                          pair.magnitude ? at(pair.magnitude) : nullptr});
    initial_.show(view.pairs.back());
  }
  for (const FullTensor& full : full_tensors_) {
    for (const std::string& name : full.names) {
      view.tensors.push_back({name, full.shape, at(full.value)});
    }
  }
  if (token_rows_) {
    const Tensor& value = token_rows_->value;
    view.tensors.push_back({token_rows_->name, {value.rows, value.cols}, at(value)});
  }
  return view;
}

}  // namespace qe
