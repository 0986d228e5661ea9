// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/new_head.h"

#include <algorithm>

#include "engine/model/named_stream.h"

namespace qe {

bool lacks_head(const TensorSource& source, const EncoderConfig& config) {
  const std::string of_head = config.head_tensor();
  return !of_head.empty() && !source.has(of_head);
}

std::vector<std::string> modules_of_new_head(const EncoderConfig& config) {
  const EncoderNames& names = config.names;
  std::vector<std::string> modules;
  for (const std::string* module : {&names.head_dense, &names.head_norm}) {
    if (!module->empty()) modules.push_back(*module);
  }
  if (!config.tied_decoder) modules.push_back(names.decoder);
  return modules;
}

bool has_new_head(const AdapterConfig& adapter, const EncoderConfig& config) {
  return std::ranges::all_of(modules_of_new_head(config), [&](const std::string& module) {
    return is_saved_module(module, adapter.modules_to_save);
  });
}

WithNewHead::WithNewHead(TensorSource& source, const EncoderConfig& config, uint64_t seed)
    : TensorsOver(source), deviation_(config.initializer_range), seed_(seed) {
  const EncoderNames& names = config.names;
  if (!names.head_dense.empty()) {
    kinds_[names.head_dense + ".weight"] = Kind::kWeight;
    kinds_[names.head_dense + ".bias"] = Kind::kBias;
    kinds_[names.head_norm + ".weight"] = Kind::kNorm;
    kinds_[names.head_norm + ".bias"] = Kind::kBias;
  }
  if (!config.tied_decoder) kinds_[names.decoder + ".weight"] = Kind::kWeight;
  kinds_[names.decoder_bias.empty() ? names.decoder + ".bias" : names.decoder_bias] = Kind::kBias;
}

const StoredTensor* WithNewHead::find(const std::string& name, const std::vector<int64_t>& shape) {
  if (source_.has(name) || !kinds_.contains(name)) return source_.find(name, shape);
  made_ = {.name = name, .dtype = DType::kF32, .shape = shape, .file = &source_.name()};
  return &made_;
}

const StoredTensor& WithNewHead::read(const StoredTensor& found) {
  if (&found != &made_) return source_.read(found);
  const Kind kind = kinds_.at(made_.name);
  values_.assign(static_cast<size_t>(made_.n_elements()), kind == Kind::kNorm ? 1.0f : 0.0f);
  if (kind == Kind::kWeight)
    fill_normal<float>(NamedStream(seed_, made_.name), deviation_, values_);
  made_.bytes = std::as_bytes(std::span(values_));
  return made_;
}

}  // namespace qe
