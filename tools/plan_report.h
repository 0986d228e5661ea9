// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a training run would do, without doing it: plan, and train --dry-run.

#include "engine/train/trainer.h"
#include "tools/progress.h"

namespace qe::tools {

/// Prints what would be trained, on what, the memory and the settings; and how long it would take,
/// from a few updates that are done for it, unless `measure` is false or the device is not here.
/// Writes no files.
void show_plan(const RunConfig& config, bool measure, Progress& progress);

/// Modules by pattern, with what is trained of them.
std::string modules_text(const LoraAdapter& adapter);
/// "about 1:02:03: 300 updates of 12.1 s (3 measured, 1,234 tokens/s), 3 evaluations of 0:12".
std::string time_text(const MeasuredSpeed& speed);

}  // namespace qe::tools
