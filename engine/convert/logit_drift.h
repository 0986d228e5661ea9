// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// How far a converted model's answers are from those of the model it was made from.

#include <vector>

#include "engine/convert/converted_tensors.h"

namespace qe {

struct LogitDrift {
  double max = 0.0;        ///< largest |difference| of two logits
  double mean = 0.0;       ///< mean |difference|
  double same_best = 0.0;  ///< share of positions whose best answer is the same
};

/// Logits (sum of lengths, V) at every token of the texts, computed in fp32 on the context's
/// device. The model is loaded for it, with its weights in floats.
std::vector<float> all_logits(ConvertedTensors& model, const std::vector<std::vector<int32_t>>& ids,
                              const Context& device);
/// Device memory that its weights need.
size_t all_logits_weight_bytes(ConvertedTensors& model, const Context& device);

LogitDrift drift(const std::vector<float>& logits, const std::vector<float>& reference,
                 int64_t vocab_size);

}  // namespace qe
