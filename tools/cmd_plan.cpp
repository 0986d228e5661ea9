// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>

#include "tools/commands.h"
#include "tools/run_report.h"
#include "tools/stop_signal.h"

namespace qe::tools {
namespace {

int run_plan(const Arguments& arguments) {
  Progress progress;
  const std::atomic<bool>& stop = stop_on_signals();
  const Trainer trainer(read_config(arguments, progress), Trainer::Task::kTrain,
                        /*planning=*/true, progress.log(), &stop);
  const RunConfig& config = trainer.config();
  progress.clear();
  std::cout << summary_text(config, trainer.summary()) << "\nMemory, in bytes on the right\n"
            << memory_text(trainer.memory(), trainer.device())
            << "\nSettings, and where each came from\n"
            << settings_text(config);
  return 0;
}

}  // namespace

Command plan_command() {
  return {.name = "plan",
          .summary = "what train would do: sizes, memory, and where each setting came from",
          .positionals = "[config.json]",
          .max_positionals = 1,
          .takes_settings = true,
          .description =
              "Reads the configuration, the model's headers and the data as train would, and\n"
              "prints what would be trained, every byte it would need (counted by the code that\n"
              "trains), and each setting with its origin. Loads no weights, writes nothing. With\n"
              "--device cuda --memory 8GB it answers for a GPU that need not be there: what is\n"
              "chosen to fit, or what would have to change.",
          .options = {},
          .example = "qlora-engine plan examples/kjv_demo.json --lora_r 64",
          .run = run_plan};
}

}  // namespace qe::tools
