// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// 4-bit weights that a GPU also holds decoded, where there is memory for it.

#include <cstdint>

#include "engine/memory/memory.h"
#include "engine/model/masked_lm.h"
#include "formats/run_config.h"

namespace qe {

/// Every layer's, and the head's as well.
inline constexpr int64_t kAllLayers = int64_t{1} << 32;

/// What resident_weights says; "auto" is none.
int64_t n_expanded_layers(const RunConfig& config);

/// GPU: decodes the 4-bit weights of the first n_layers layers once, in the compute type, with room
/// for the pairs of `adapter` (nullable), so that products with and without them need not. Linears
/// over one x stand one below the other. On the CPU nothing happens. Memory row: "base: 4-bit
/// weights, expanded". While the adapter is used, passes write its pairs into that room: one pass
/// at a time.
void expand_weights(MaskedLm& model, const LoraAdapter* adapter, int64_t n_layers,
                    const Context& ctx, Memory& memory);

}  // namespace qe
