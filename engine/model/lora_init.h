// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The values that LoRA pairs start from.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/model/low_rank.h"
#include "formats/lora_config.h"

namespace qe {

/// Host memory of one pair: a (r, in), b (out, r).
struct LoraFactors {
  std::span<float> a;
  std::span<float> b;
  int64_t r = 0, in = 0, out = 0;
};

/// Fills both; a pure function of the way, the seed and the module's path. Of ways that take the
/// factors from the weight: as for a Linear that they leave out. Throws Error for an odd rank with
/// kOrthogonal.
void initialize_lora(AdapterConfig::Init init, uint64_t seed, const std::string& module,
                     const LoraFactors& factors);

/// What a weight gives its pair: a (r, in), b (out, r).
struct InitialFactors {
  std::vector<float> a;
  std::vector<float> b;
};
/// By module.
using GivenFactors = std::map<std::string, InitialFactors>;

/// The factors that `config`'s way takes from w (out, in). PiSSA (Meng et al. 2024,
/// arXiv:2404.02948): scale * B A is the best approximation of w. OLoRA (Buyukakyuz 2024,
/// arXiv:2406.01775): the beginnings of Q and R. LoftQ (Li et al. 2023, arXiv:2310.08659): as
/// PiSSA, of a w that is what 4 bits lose. scale > 0. r <= in, out. On one thread.
InitialFactors factors_from(const AdapterConfig& config, uint64_t seed, const std::string& module,
                            const MatrixView& w, int64_t r, double scale);

}  // namespace qe
