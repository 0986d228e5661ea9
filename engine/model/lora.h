// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// LoRA adapters as the engine holds them: one flat parameter buffer and one flat gradient buffer,
// with a pair (A, B) per adapted Linear. A model is immutable and shared; adapters stand beside it.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/frozen_weight.h"
#include "formats/adapter.h"
#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

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

/// Calls visit(what follows the module in the tensor's name, tensor) for what a pair trains, in the
/// order of the flat buffers.
template <class Visit>
void for_each_trained(const LoraPair& pair, const Visit& visit) {
  visit(kLoraASuffix, pair.a);
  visit(kLoraBSuffix, pair.b);
  if (pair.magnitude) visit(kLoraMagnitudeSuffix, pair.magnitude);
}

/// A Linear that an adapter may attach to.
struct LoraSite {
  int linear_id = -1;
  std::string module;
  int64_t in = 0, out = 0;
  FrozenWeight weight;
};

class LoraAdapter {
 public:
  /// Adapts every site of `sites` whose module `config` targets (not a preset: see
  /// resolve_target_preset), with the rank and scale that `config` gives it. n_linears: ids are
  /// below it. Trainable adapters have gradients. Memory rows: "LoRA parameters", "LoRA gradients",
  /// "DoRA norms" and in 16 bits "LoRA parameters (BF16)". ctx: device, compute type and stream.
  /// Throws Error when nothing matches (naming the targets).
  LoraAdapter(const AdapterConfig& config, const std::vector<LoraSite>& sites, int n_linears,
              bool trainable, const Context& ctx, Memory& memory);

  /// The pair of a Linear, or null.
  const LoraPair* pair(int linear_id) const {
    const int index = index_of_linear_[linear_id];
    return index < 0 ? nullptr : &pairs_[index];
  }
  const std::vector<LoraPair>& pairs() const { return pairs_; }
  const AdapterConfig& config() const { return config_; }
  float dropout() const { return static_cast<float>(config_.lora_dropout); }
  bool trainable() const { return !gradients_.empty(); }

  /// All pairs, A, B and then magnitudes, in the device's memory.
  std::span<float> parameters() const { return parameters_; }
  std::span<float> gradients() const { return gradients_; }
  /// The device of both.
  const Context& context() const { return ctx_; }

  /// Brings computed_a, computed_b and norms up to date; after every change of the parameters.
  /// Scratch with DoRA: dora_norms'.
  void refresh(Context& ctx) const;

  /// As the configuration's `init` says; a pure function of seed and module path.
  void initialize(uint64_t seed);
  /// Copies the values of a folder that was read. Throws Error when its modules or shapes are not
  /// exactly this adapter's (naming one).
  void assign(const Adapter& adapter, const std::string& folder);
  /// All pairs, for writing: on a GPU in a host copy that lives until the next call.
  std::vector<AdapterPairView> views() const;
  /// The same over `host`, a copy of parameters().
  std::vector<AdapterPairView> views(const float* host) const;

 private:
  void place(Memory& memory);
  void upload(const std::vector<float>& parameters);

  AdapterConfig config_;
  mutable Context ctx_;
  std::vector<LoraPair> pairs_;
  std::vector<int> index_of_linear_;
  std::span<float> parameters_;
  std::span<float> gradients_;
  Tensor masters_;   // parameters_ as one row
  Tensor computed_;  // the same in the compute type; absent where that is fp32
  mutable std::vector<float> host_parameters_;
};

}  // namespace qe
