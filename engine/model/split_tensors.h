// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The base as an adapter leaves it whose factors come from the weights. PiSSA and OLoRA: each
// adapted weight W is split into s B A, which the adapter begins with, and the rest, which is
// frozen. LoftQ: what 4 bits lose of W is nearly s B A, and the base stays.

#include "engine/model/lora_init.h"
#include "engine/model/weight_loader.h"

namespace qe {

class SplitTensors : public TensorsOver {
 public:
  /// Takes the factors of all weights that `adapter` (no preset) targets, a thread for each, unless
  /// ctx is planning; then the source is as it was, and there are no factors. PiSSA takes them from
  /// the stored values. OLoRA takes those of weights that `base` holds in 4 bits from what they
  /// decode to, as peft does. Weights that are held in 4 bits are quantized without their factors.
  /// LoftQ gives factors to weights that are held in 4 bits only; they are the difference of the
  /// stored values and what `base` makes of them. Throws Error, naming the module, where the rank
  /// is larger than the weight, the scale is not positive or LoftQ finds no floats.
  SplitTensors(TensorSource& source, const EncoderConfig& config, const BaseOptions& base,
               const AdapterConfig& adapter, uint64_t seed, const Context& ctx);

  const GivenFactors& factors() const { return factors_; }

  const StoredTensor* find(const std::string& name, const std::vector<int64_t>& shape) override;
  const StoredTensor& read(const StoredTensor& found) override;
  std::optional<StoredQuant4> find_quantized(const std::string& name) const override;

 private:
  // An adapted Linear.
  struct Site {
    std::string module;
    int64_t n = 0, k = 0, r = 0;
    double scale = 1.0;
    bool in_4_bits = false;
  };
  void find_sites();
  void split_all(uint64_t seed);
  const Site* site(const std::string& weight_name) const;
  std::vector<float> values(const Site& site) const;
  std::vector<float> rest(const Site& site) const;

  EncoderConfig config_;
  BaseOptions base_;
  AdapterConfig adapter_;
  ThreadPool& threads_;
  std::map<std::string, Site> sites_;  // by weight name
  GivenFactors factors_;
  const Site* found_ = nullptr;  // of the last find
  std::vector<std::byte> rest_bytes_;
  mutable std::unique_ptr<HostQuant4> rest_quantized_;
};

}  // namespace qe
