// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Launching once what a run will launch, so that CUDA's own memory can be measured before the run
// is planned.

#include "engine/model/device_memory.h"
#include "engine/train/training_parts.h"

namespace qe {

/// An update and an evaluation (as far as the run has them) over the model's first layers, with
/// random weights and batches of the run's lengths, but few tokens.
void warm_up(const RunConfig& config, const RunShape& shape, const EncoderConfig& encoder,
             Context& ctx);

}  // namespace qe
