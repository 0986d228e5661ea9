// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The parameters of a model by the names that they have in the Hugging Face model: what adapters
// may have in full.

#include <string>
#include <vector>

#include "engine/model/frozen_weight.h"

namespace qe {

/// What optimizers treat apart.
enum class ParameterKind {
  kLoraA,
  kLoraB,
  kMagnitude,
  kWeight,  ///< of a Linear
  kTable,   ///< of an embedding
  kTokenRows,
  kBias,  ///< of anything
  kLayerNorm,
  kRmsNorm,
};

/// A number that stands for a parameter of the model: its place among MaskedLm::parameters.
/// kNoParameter: there is none.
inline constexpr int kNoParameter = -1;

struct BaseParameter {
  std::string name;   ///< "bert.encoder.layer.0.attention.self.query.weight"
  std::string alias;  ///< another name of the same: a decoder's bias has two; else ""
  ParameterKind kind = ParameterKind::kWeight;
  std::vector<int64_t> shape;
  FrozenWeight value;    ///< a vector is one row; absent: it exists, but cannot be trained here
  bool decoder = false;  ///< read by mlm_loss, with rows (a bias: columns) of padding

  bool trainable() const { return value.n() > 0; }
  /// The module that it belongs to.
  std::string module() const { return name.substr(0, name.rfind('.')); }
};

}  // namespace qe
