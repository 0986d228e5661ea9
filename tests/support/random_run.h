// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A small training run with everything random in it.

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <string>

#include "engine/train/trainer.h"
#include "tests/support/golden_run.h"
#include "tests/support/temporary_folder.h"

namespace qe::test {

/// The bytes of the adapter that a run writes.
inline std::string adapter_bytes(const std::string& folder) {
  const std::string bytes = content_of(folder + "/adapter_model.safetensors");
  REQUIRE(bytes.size() > 1000);
  return bytes;
}

/// A run with everything random switched on: dropout everywhere, shuffling, masking, NF4.
inline RunConfig random_run(const TemporaryFolder& folder, const std::string& name) {
  const std::string model = folder.path() + "/model";
  if (!std::filesystem::exists(model)) {
    std::filesystem::copy(golden_path("bert/model"), model);
    Json json = Json::parse_file(model + "/config.json");
    json.set("hidden_dropout_prob", 0.1);
    json.set("attention_probs_dropout_prob", 0.1);
    folder.write("model/config.json", json.dump(2));
    std::string text;
    for (int i = 0; i < 70; ++i) {
      text += "the dog and the cat came in " + std::to_string(i) + " said god to moses\n";
    }
    folder.write("text.txt", text);
  }
  RunConfig config = golden_run(folder.path() + "/" + name);
  config.model_name_or_path = model;
  config.adapter_name_or_path.clear();
  config.train_file = folder.path() + "/text.txt";
  config.validation_file = config.train_file;
  config.line_by_line = true;
  config.train_sampling_strategy = "random";
  config.bits = 4;
  config.lora_r = 4;
  config.lora_alpha = 8;
  config.lora_dropout = 0.1;
  config.optim = "paged_adamw_32bit";
  config.max_steps = 14;  // an epoch has 12 updates
  return config;
}

inline TrainResult run(const RunConfig& config, const TrainEvents& events = {}) {
  Trainer trainer(config, Trainer::Task::kTrain, false, Log());
  return trainer.train(events);
}

/// A run that a host stops after update `step`.
inline TrainResult run_until(const RunConfig& config, int64_t step) {
  std::atomic<bool> stop = false;
  return run(config,
             {.on_step = [&](const StepMetrics& m) { stop = m.step == step; }, .stop = &stop});
}

}  // namespace qe::test
