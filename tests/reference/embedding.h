// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The gradient of an embedding table in float64, for tests. Never for use outside tests.

#include <cstdint>
#include <vector>

namespace qe::reference {

struct EmbeddingGradientF64 {
  std::vector<int32_t> ids, slots;  ///< slots empty: row = id
  std::vector<double> scales;       ///< empty: 1
  int32_t padding_id = -1;
};

/// Adds to d_table, (rows, cols); d_out: (T, cols).
inline void add_embedding_gradient(const EmbeddingGradientF64& of, const std::vector<double>& d_out,
                                   size_t cols, std::vector<double>& d_table) {
  for (size_t t = 0; t < of.ids.size(); ++t) {
    const int32_t id = of.ids[t];
    const int32_t row = of.slots.empty() ? id : of.slots[static_cast<size_t>(id)];
    if (id == of.padding_id || row < 0) continue;
    for (size_t c = 0; c < cols; ++c) {
      d_table[static_cast<size_t>(row) * cols + c] +=
          d_out[t * cols + c] * (of.scales.empty() ? 1.0 : of.scales[t]);
    }
  }
}

}  // namespace qe::reference
