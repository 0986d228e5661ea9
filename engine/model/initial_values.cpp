// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/initial_values.h"

#include <algorithm>

namespace qe {

void InitialValues::add(const std::string& module, int64_t r, int64_t in, int64_t out,
                        Memory& memory) {
  const auto values = [&](int64_t n) {
    return std::span<float>(
        memory.allocate_array<float>("LoRA initial values", n, MemoryKind::kHost),
        static_cast<size_t>(n));
  };
  pairs_[module] = {.r = r, .in = in, .out = out, .a = values(r * in), .b = values(out * r)};
}

void InitialValues::keep(const GivenFactors& given) {
  for (const auto& [module, pair] : pairs_) {
    const auto found = given.find(module);
    QE_CHECK(found != given.end() && found->second.a.size() == pair.a.size() &&
                 found->second.b.size() == pair.b.size(),
             module, ": the base keeps the values that the adapter begins with");
    std::copy(found->second.a.begin(), found->second.a.end(), pair.a.begin());
    std::copy(found->second.b.begin(), found->second.b.end(), pair.b.begin());
  }
}

void InitialValues::show(AdapterPairView& view) const {
  const auto found = pairs_.find(view.module);
  if (found == pairs_.end()) return;
  view.initial_a = found->second.a.data();
  view.initial_b = found->second.b.data();
}

Adapter InitialValues::separated(Adapter written, const std::string& folder) const {
  for (AdapterPair& pair : written.pairs) {
    const auto found = pairs_.find(pair.module);
    if (found == pairs_.end()) continue;  // not this adapter's, as whoever takes it will see
    const auto& [r, in, out, a, b] = found->second;
    QE_CHECK(pair.r == 2 * r && pair.in == in && pair.out == out, folder, ": ", pair.module,
             ": expected A (", 2 * r, ", ", in, ") and B (", out, ", ", 2 * r, "), got A (", pair.r,
             ", ", pair.in, ") and B (", pair.out, ", ", pair.r, ")");
    bool same = std::equal(a.begin(), a.end(), pair.a.begin() + r * in);
    std::vector<float> learned;
    for (int64_t i = 0; i < out; ++i) {
      const auto row = pair.b.begin() + i * 2 * r;
      learned.insert(learned.end(), row, row + r);
      for (int64_t j = 0; j < r; ++j)
        same = same && row[r + j] == -b[static_cast<size_t>(i * r + j)];
    }
    QE_CHECK(same, folder, ": ", pair.module,
             ": the adapter began with other values: the base was another one");
    pair.a.resize(static_cast<size_t>(r * in));
    pair.b = std::move(learned);
    pair.r = r;
  }
  return written;
}

}  // namespace qe
