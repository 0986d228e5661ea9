// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a model card says of the run that made the adapter.

#include <string>

#include "engine/train/token_dataset.h"
#include "formats/json.h"
#include "formats/run_config.h"

namespace qe {

/// Sections of Markdown: the data with their hashes, the results, the settings that are no
/// defaults, the versions. `results` is a flat object; data without samples was not used.
std::string training_card(const RunConfig& config, const TokenDataset& train_data,
                          const TokenDataset& eval_data, const Json& results);

}  // namespace qe
