// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The values that LoRA pairs start from.

#include <cstdint>
#include <span>
#include <string>

#include "formats/lora_config.h"

namespace qe {

/// Host memory of one pair: a (r, in), b (out, r).
struct LoraFactors {
  std::span<float> a;
  std::span<float> b;
  int64_t r = 0, in = 0, out = 0;
};

/// Normal numbers, a pure function of seed, name and index.
void fill_normal(uint64_t seed, const std::string& name, double deviation, std::span<float> values);

/// Fills both; a pure function of the way, the seed and the module's path.
void initialize_lora(AdapterConfig::Init init, uint64_t seed, const std::string& module,
                     const LoraFactors& factors);

}  // namespace qe
