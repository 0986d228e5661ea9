// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The activation functions that models have, under the names of their config.json.

namespace qe {

enum class Activation {
  kGelu,       ///< x Phi(x), exact erf form: "gelu"
  kGeluTanh,   ///< "gelu_new", "gelu_pytorch_tanh", "gelu_fast"
  kQuickGelu,  ///< x logistic(1.702 x): "quick_gelu"
  kSilu,       ///< x logistic(x): "silu", "swish"
  kMish,       ///< x tanh(log(1 + e^x)): "mish"
  kHardSwish,  ///< x min(max(x + 3, 0), 6) / 6: "hardswish"
  kRelu,       ///< "relu"
  kRelu2,      ///< max(x, 0)^2: "relu2"
  kRelu6,      ///< min(max(x, 0), 6): "relu6"
  kLeakyRelu,  ///< x > 0 ? x : 0.01 x: "leaky_relu"
  kTanh,       ///< "tanh"
  kSigmoid,    ///< "sigmoid"
  kLinear,     ///< x: "linear"
};

}  // namespace qe
