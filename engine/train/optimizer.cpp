// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/optimizer.h"

namespace qe {

Optimizer::Optimizer(const OptimizerOptions& options, std::span<float> parameters,
                     std::span<const float> gradients, Memory& memory) {
  const bool torch = options.name.starts_with("adamw_torch");
  const bool paged = options.name.starts_with("paged_");
  const MemoryKind kind = paged ? MemoryKind::kPaged : MemoryKind::kHost;
  const char* const row = paged ? "optimizer states (paged)" : "optimizer states";
  const int64_t n = static_cast<int64_t>(parameters.size());
  span_ = AdamwSpan{.parameters = parameters,
                    .gradients = gradients,
                    .exp_avg = {memory.allocate_array<float>(row, n, kind), parameters.size()},
                    .exp_avg_sq = {memory.allocate_array<float>(row, n, kind), parameters.size()},
                    .rule = torch ? AdamwRule::kTorch : AdamwRule::kBitsandbytes,
                    .beta1 = options.beta1,
                    .beta2 = options.beta2,
                    .epsilon = options.epsilon,
                    .weight_decay = options.weight_decay};
}

}  // namespace qe
