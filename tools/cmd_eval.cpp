// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>

#include "tools/commands.h"
#include "tools/run_report.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

int run_eval(const Arguments& arguments) {
  Progress progress;
  const std::atomic<bool>& stop = stop_on_signals();
  const RunConfig config = read_config(arguments, progress);
  Trainer trainer(config, Trainer::Task::kEvaluate, /*planning=*/false, progress.log(), &stop);
  const EvalMetrics metrics = trainer.evaluate(&stop);
  if (arguments.has("json")) {
    std::cout << to_json(metrics).dump() << "\n";
    return 0;
  }
  Table table("ll");
  table.add({"loss", fixed(metrics.loss, 4)});
  table.add({"loss (transformers' mean)", fixed(metrics.loss_hf, 4)});
  table.add({"perplexity", fixed(metrics.perplexity(), 2)});
  table.add({"masked accuracy", fixed(100 * metrics.accuracy, 2) + " %"});
  table.add({"predicted tokens", human_count(metrics.n_labels)});
  table.add({"sequences", human_count(metrics.n_samples)});
  std::cout << table.text();
  progress.line(human_count(metrics.n_tokens) + " tokens in " + human_duration(metrics.seconds));
  return 0;
}

}  // namespace

Command eval_command() {
  return {.name = "eval",
          .summary = "masked language model loss, perplexity and accuracy on validation data",
          .positionals = "[config.json]",
          .max_positionals = 1,
          .takes_settings = true,
          .description =
              "Masks the validation data (the same masks every time: they derive from seed), runs\n"
              "the base as stored by bits, with adapter_name_or_path on top if given, and prints\n"
              "the mean loss per predicted token, its exponential, and how often the best answer\n"
              "is right. Writes no files.",
          .options = {{"json", nullptr, "print one JSON object instead"}},
          .example = "qlora-engine eval examples/kjv_demo.json --adapter_name_or_path demo",
          .run = run_eval};
}

}  // namespace qe::tools
