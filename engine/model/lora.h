// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// LoRA adapters as the engine holds them: one flat parameter buffer and one flat gradient buffer,
// with a pair (A, B) per adapted Linear and the parameters of the base that are trained in full. A
// model is immutable and shared; adapters stand beside it.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/base_parameter.h"
#include "engine/model/initial_values.h"
#include "formats/adapter.h"
#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/embedding.h"

namespace qe {

/// One adapted Linear. Views into the adapter's flat buffers.
struct LoraPair {
  std::string module;  ///< path in the Hugging Face model
  int64_t r = 0, in = 0, out = 0;
  float scale = 1.0f;
  Tensor a;    ///< (r, in) fp32
  Tensor b;    ///< (out, r) fp32
  Tensor d_a;  ///< like a; absent when not trainable
  Tensor d_b;
  Tensor computed_a;  ///< a in the compute type, for products; the same memory where that is fp32
  Tensor computed_b;
  FrozenWeight weight;  ///< the base's
  // Of DoRA (kernels/ops/dora.h), else absent. fp32, (1, out).
  Tensor magnitude;
  Tensor d_magnitude;  ///< absent when not trainable
  Tensor squares;      ///< of the base's rows
  Tensor norms;        ///< of the adapted rows, as refresh has left them
};

/// A parameter of the base that the adapter has in full: it stands for the base's. Views likewise.
struct FullTensor {
  std::vector<std::string> names;  ///< in adapter_model.safetensors, one or two
  ParameterKind kind = ParameterKind::kWeight;
  std::vector<int64_t> shape;  ///< there
  FrozenWeight base;
  bool decoder = false;  ///< has rows (a bias: columns) of padding behind it
  Tensor value;          ///< (rows, cols) fp32; a vector is one row
  Tensor computed;       ///< in the compute type; the same memory where that is fp32
  Tensor gradient;       ///< fp32; absent when not trainable
};

/// Rows of the word table that the adapter has, and of the decoder where it is tied. Views
/// likewise.
struct TokenRows {
  std::string name;                     ///< in adapter_model.safetensors
  std::span<const int32_t> ids, slots;  ///< kernels/ops/embedding.h's, in the device's memory
  FrozenWeight table;
  std::vector<int32_t> chosen;       ///< ids
  Tensor value, computed, gradient;  ///< (ids, E)

  ReplacedRows replaced() const { return {ids, slots, computed}; }
};

/// A piece of the flat buffers.
struct NamedParameter {
  std::string name;  ///< in adapter_model.safetensors
  ParameterKind kind;
  Tensor value;     ///< fp32
  Tensor gradient;  ///< fp32; absent when not trainable
};

/// A Linear that an adapter may attach to.
struct LoraSite {
  int linear_id = -1;
  std::string module;
  int64_t in = 0, out = 0;
  FrozenWeight weight;
};

/// What of a model adapters may change.
struct AdaptedBase {
  std::vector<LoraSite> sites;
  int n_linears = 0;  ///< ids of sites are below it
  std::vector<BaseParameter> parameters;
  int word_table = kNoParameter;  ///< of parameters
  bool tied_decoder = true;
  std::string decoder;  ///< its module
};

class LoraAdapter {
 public:
  /// Adapts every site of `base` whose module `config` targets (not a preset: see
  /// resolve_target_preset), with the rank and scale that `config` gives it, and has those of its
  /// parameters in full that `config` says. Trainable adapters have gradients. Memory rows: "LoRA
  /// parameters", "LoRA gradients", "DoRA norms" and in 16 bits "LoRA parameters (BF16)". ctx:
  /// device, compute type and stream. Throws Error when nothing matches (naming the targets), and
  /// when a parameter is asked for that cannot be trained.
  LoraAdapter(const AdapterConfig& config, const AdaptedBase& base, bool trainable,
              const Context& ctx, Memory& memory);

  /// The pair of a Linear, or null.
  const LoraPair* pair(int linear_id) const {
    const int index = index_of_linear_[linear_id];
    return index < 0 ? nullptr : &pairs_[index];
  }
  const std::vector<LoraPair>& pairs() const { return pairs_; }
  /// What the adapter has instead of a parameter of the base, or null.
  const FullTensor* full(int parameter) const {
    const int index = parameter == kNoParameter ? -1 : index_of_parameter_[parameter];
    return index < 0 ? nullptr : &full_tensors_[index];
  }
  const std::vector<FullTensor>& full_tensors() const { return full_tensors_; }
  /// Or null.
  const TokenRows* token_rows() const { return token_rows_ ? &*token_rows_ : nullptr; }
  /// All that is trained, in the order of the flat buffers.
  const std::vector<NamedParameter>& named() const { return named_; }
  int64_t n_parameters() const;
  const AdapterConfig& config() const { return config_; }
  float dropout() const { return static_cast<float>(config_.lora_dropout); }
  bool trainable() const { return !gradients_.empty(); }

  /// Of all pairs A, then B, then magnitudes, then what is trained in full, in the device's memory;
  /// between the latter there may be zeros.
  std::span<float> parameters() const { return parameters_; }
  std::span<float> gradients() const { return gradients_; }
  /// The device of both.
  const Context& context() const { return ctx_; }

  /// Brings computed_a, computed_b and norms up to date; after every change of the parameters.
  /// Scratch with DoRA: dora_norms'.
  void refresh(Context& ctx) const;

  /// Pairs as the configuration's `init` says, a pure function of seed and module path, and of the
  /// base where factors are given (split_tensors.h); what is trained in full as the base has it.
  void initialize(uint64_t seed, const GivenFactors& given = {});
  /// Copies the values of a folder that was read. Throws Error when its modules or shapes are not
  /// exactly this adapter's (naming one). An adapter whose base was split takes what it wrote.
  void assign(const Adapter& adapter, const std::string& folder);
  /// All of it, for writing: on a GPU in a host copy that lives until the next call.
  AdapterView views() const;
  /// The same over `host`, a copy of parameters().
  AdapterView views(const float* host) const;

 private:
  // The same piece of all flat buffers.
  struct Views {
    Tensor value, computed, gradient;
  };
  void choose_pairs(const AdaptedBase& base);
  void choose_full_tensors(const std::vector<BaseParameter>& parameters);
  void choose_token_rows(const AdaptedBase& base);
  void add_piece(const std::string& name, ParameterKind kind, int64_t rows, int64_t cols);
  void divide();
  void allocate(bool trainable, Memory& memory);
  Views views_of(size_t piece) const;
  void place();
  void make_norms(Memory& memory);
  void make_slots(Memory& memory);
  void update_derived();
  void assign_pairs(const Adapter& adapter, const std::string& folder,
                    std::vector<float>& to) const;
  void assign_full_tensors(const Adapter& adapter, const std::string& folder,
                           std::vector<float>& to) const;

  AdapterConfig config_;
  mutable Context ctx_;
  std::vector<LoraPair> pairs_;
  std::vector<int> index_of_linear_;
  std::vector<FullTensor> full_tensors_;
  std::vector<int> index_of_parameter_;
  std::optional<TokenRows> token_rows_;
  std::vector<NamedParameter> named_;
  std::vector<int64_t> offsets_;  // of each in the flat buffers
  int64_t n_values_ = 0;          // of a flat buffer
  std::span<float> parameters_;
  std::span<float> gradients_;
  InitialValues initial_;  // of a base that was split, else empty
  Tensor masters_;         // parameters_ as one row
  Tensor computed_;        // the same in the compute type; absent where that is fp32
  mutable std::vector<float> host_parameters_;
};

}  // namespace qe
