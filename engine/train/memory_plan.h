// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Making a run fit the device's memory: the settings that nobody set are chosen, cheapest first,
// and where that does not do, the error says what would. All sums come from planning the changed
// run again; nothing here knows what takes memory.

#include <functional>
#include <string>
#include <vector>

#include "engine/model/device_memory.h"
#include "engine/train/training_parts.h"

namespace qe {

struct MemoryPlan {
  RunConfig config;  ///< all choices made, with their origins
  std::vector<MemoryRow> rows;
  std::vector<std::string> notes;  ///< what was chosen to fit and why, a line each
};

/// The rows of a run of these settings.
using CountRows = std::function<std::vector<MemoryRow>(const RunConfig&)>;

/// Chooses what is "auto" or a default, in the cheapest way that fits: how many layers' weights are
/// resident, paged_states, per_device_train_batch_size (gradient_accumulation_steps raised by the
/// same factor: the same updates), gradient_checkpointing. Settings that somebody gave stay. Throws
/// Error, one line, with what is missing and every change, alone or together, that would make the
/// run fit, with its total.
MemoryPlan plan_memory(const RunConfig& config, const RunShape& shape, const EncoderConfig& encoder,
                       Device device, const MemoryLimit& limit, const CountRows& count);

/// Sets a setting of `config` that its owner left open, and its origin.
void choose_setting(RunConfig& config, const std::string& key, const Json& value,
                    const std::string& origin);
/// Whether nobody set it: origins say default.
bool is_open(const RunConfig& config, const std::string& key);

}  // namespace qe
