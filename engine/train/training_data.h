// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The data that a run's settings name.

#include "engine/train/stop_token.h"
#include "engine/train/token_dataset.h"
#include "formats/encoder_config.h"
#include "formats/run_config.h"
#include "kernels/core/log.h"
#include "kernels/core/parallel.h"

namespace qe {

struct TrainingData {
  TokenDataset train;       ///< empty in a run that only evaluates
  TokenDataset evaluation;  ///< empty in a run that never does
};

/// Reads, tokenizes and caches. A run that trains (`trains`) keeps what it tokenized in cache_dir,
/// else in output_dir/token_cache; a plan (`planning`) or an evaluation keeps it only in a
/// cache_dir that is given, but takes what it finds in either. Throws Error naming the setting or
/// the file; Stopped.
TrainingData load_training_data(const RunConfig& config, bool trains, bool planning,
                                const EncoderConfig& encoder, const Tokenizer& tokenizer,
                                ThreadPool& threads, const Log& log, StopToken stop);

}  // namespace qe
