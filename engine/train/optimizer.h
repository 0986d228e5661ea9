// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// AdamW over an adapter's flat buffers; its states may be paged.

#include <span>
#include <string>

#include "engine/memory/memory.h"
#include "kernels/ops/adamw.h"

namespace qe {

struct OptimizerOptions {
  std::string name = "adamw_torch";  ///< run_config's optim: rule and paging follow from it
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0.0f;
};

class Optimizer {
 public:
  /// States are two fp32 values per parameter, zero at first. Memory row: "optimizer states".
  Optimizer(const OptimizerOptions& options, std::span<float> parameters,
            std::span<const float> gradients, Memory& memory);

  /// One update; learning rate, step and clip factor come from the context's StepState.
  void step(Context& ctx) const { adamw_step(ctx, span_); }

  std::span<float> exp_avg() const { return span_.exp_avg; }
  std::span<float> exp_avg_sq() const { return span_.exp_avg_sq; }

 private:
  AdamwSpan span_;
};

}  // namespace qe
