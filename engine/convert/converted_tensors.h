// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A model folder as it will be: with adapters merged into its weights, in floats or in 4 bits. What
// is written to the new folder and what is loaded to measure it are the same tensors.

#include <memory>
#include <optional>

#include "engine/model/tensor_source.h"
#include "engine/model/weight_loader.h"
#include "formats/adapter.h"
#include "formats/json.h"

namespace qe {

/// An adapter folder and how much of it is added: W += weight * scale * B A. With DoRA the rows of
/// the sum then take their magnitudes; weight is 1, and no other adapter changes the same Linear.
/// The same holds for parameters that the adapter has in full, which replace the folder's.
struct WeightedAdapter {
  std::string folder;
  double weight = 1.0;
};

struct ConvertOptions {
  /// What adapters are added to.
  enum class Base {
    kTrained,  ///< the weights that training saw: quantized and decoded again
    kStored,   ///< the folder's own
  };
  Base base = Base::kTrained;
  bool four_bit = false;  ///< write quantized weights, else floats
  /// How kTrained quantizes, and how four_bit does. Weights that are stored in 4 bits keep their
  /// code, block size and double quantization, and their bytes when no adapter changes them.
  BaseOptions trained;
  bool quantize_head = false;  ///< four_bit: the MLM head's dense too, as transformers 5 does
  DType storage = DType::kU8;  ///< four_bit: bnb_4bit_quant_storage
  std::optional<DType> dtype;  ///< of float weights that change; empty: as stored
  std::vector<WeightedAdapter> adapters;
};

class ConvertedTensors : public TensorSource {
 public:
  /// Reads headers and adapters. ctx: where adapters are multiplied out, in fp32; decoding and
  /// quantizing happen on its CPU threads, with the same bytes on every machine. Throws Error when
  /// the folder cannot be converted so (its weights are in 4 bits and the stored floats are asked
  /// for), or an adapter is for another base.
  ConvertedTensors(const std::string& folder, const ConvertOptions& options, const Context& ctx);

  const EncoderConfig& config() const { return config_; }
  int64_t n_quantized() const;  ///< Linears that the new folder holds in 4 bits
  int64_t n_merged() const;     ///< Linears that an adapter changes

  const std::string& name() const override { return source_.name(); }
  bool has(const std::string& name) const override {
    return replaced_.contains(name) || source_.has(name);
  }
  const StoredTensor* find(const std::string& name, const std::vector<int64_t>& shape) override;
  std::optional<StoredQuant4> find_quantized(const std::string& name) const override;
  bool holds_different(const std::string& a, const std::string& b) const override;

  /// Writes config.json and model.safetensors into the existing folder. Beside the mapped files one
  /// decoded weight is in memory at a time, and with four_bit all quantized ones. Throws Error when
  /// a merged weight is not finite in its type.
  void write(const std::string& folder) const;

 private:
  // One adapter's change of a Linear.
  struct Delta {
    AdapterPair pair;
    float scale = 1.0f;
  };
  // A Linear whose weight may change.
  struct Site {
    std::string module;
    int64_t n = 0, k = 0;
    DType dtype = DType::kF32;  // of the stored or decoded values
    Quant4Options quant;        // as it is stored, else as asked for
    bool trained_quantized = false;
    bool written_quantized = false;
    std::vector<Delta> deltas;
    bool changes() const { return trained_quantized || !deltas.empty(); }
  };
  // A parameter that an adapter has in full.
  struct Replacement {
    std::vector<float> values;
    std::vector<int64_t> shape;
    DType dtype = DType::kF32;  // that it is written in
    std::string adapter;        // whose it is
  };
  const Site* site(const std::string& weight_name) const;
  void find_sites(TensorSource& source);
  void read_adapters(std::vector<Adapter>& adapters);
  void read_pairs(const WeightedAdapter& adapter, Adapter& stored);
  void read_full_tensors(const WeightedAdapter& adapter, Adapter& stored);
  void read_token_rows(const WeightedAdapter& adapter, const AdapterConfig& config,
                       const AdapterTensor& rows);
  void keep_untied_tables();
  void replace(const std::string& name, const AdapterTensor& tensor, const std::string& adapter);
  std::vector<float> values(const Site& site) const;
  void add_deltas(const Site& site, std::vector<float>& values) const;
  std::unique_ptr<HostQuant4> quantized(const Site& site) const;
  std::vector<std::byte> floats(const Site& site) const;
  Json written_config() const;
  std::string widest_type() const;
  bool is_tied_copy(const std::string& canonical, const StoredTensor& stored) const;

  std::string folder_;
  ConvertOptions options_;
  Context ctx_;
  ThreadPool& threads_;  // its own
  EncoderConfig config_;
  mutable FolderTensors source_;
  bool adds_head_ = false;       // which the folder lacks and an adapter has
  bool unties_decoder_ = false;  // the new folder has one of its own, where the old one had none
  std::map<std::string, Site> sites_;  // by weight name
  std::vector<BaseParameter> parameters_;
  std::map<std::string, Replacement> replaced_;  // by name
  mutable std::unique_ptr<HostQuant4> held_quantized_;
  std::vector<std::byte> held_bytes_;
  StoredTensor held_;
};

}  // namespace qe
