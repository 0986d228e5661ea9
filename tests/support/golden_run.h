// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Training runs of the goldens as RunConfigs.

#include "formats/run_config.h"
#include "tests/support/device.h"
#include "tests/support/golden.h"

namespace qe::test {

/// Of tests/golden/bert: 10 updates of 2 micro-batches of 3 rows, in file order, from the golden
/// adapter.
inline RunConfig golden_run(const std::string& output_dir) {
  RunConfig config;
  config.model_name_or_path = golden_path("bert/model");
  config.adapter_name_or_path = golden_path("bert/adapter");
  config.train_file = golden_path("bert/train.jsonl");
  config.validation_file = config.train_file;
  config.output_dir = output_dir;
  config.max_seq_length = 40;
  config.bits = 32;
  config.train_sampling_strategy = "sequential";
  config.per_device_train_batch_size = 3;
  config.per_device_eval_batch_size = 4;
  config.gradient_accumulation_steps = 2;
  config.learning_rate = 5e-3;
  config.weight_decay = 0.01;
  config.warmup_steps = 2;
  config.max_steps = 10;
  config.logging_steps = 5;
  config.eval_steps = 5;
  config.save_strategy = "no";
  config.threads = 2;
  config.device = device_setting();
  config.compute_dtype = compute_setting();
  return config;
}

/// Of a folder of tests/golden/families: one update of all rows, from `adapter`.
inline RunConfig golden_step(const std::string& family, const std::string& adapter,
                             const std::string& output_dir) {
  RunConfig config = golden_run(output_dir);
  config.model_name_or_path = family + "/model";
  config.adapter_name_or_path = adapter;
  config.train_file = family + "/train.jsonl";
  config.validation_file.clear();
  config.max_seq_length = 150;
  config.per_device_train_batch_size = 4;
  config.gradient_accumulation_steps = 1;
  config.warmup_steps = 0;
  config.max_steps = 1;
  return config;
}

}  // namespace qe::test
