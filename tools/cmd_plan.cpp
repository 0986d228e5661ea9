// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/commands.h"
#include "tools/plan_report.h"
#include "tools/run_report.h"

namespace qe::tools {
namespace {

int run_plan(const Arguments& arguments) {
  Progress progress;
  show_plan(read_config(arguments, progress), !arguments.has("no_measure"), progress);
  return 0;
}

}  // namespace

Command plan_command() {
  return {
      .name = "plan",
      .summary = "what train would do: sizes, time, memory, and where each setting came from",
      .positionals = "[config.json]",
      .max_positionals = 1,
      .takes_settings = true,
      .description =
          "Reads the configuration, the model and the data as train would, and prints what\n"
          "would be trained, the time it would take (from a few of its updates, which are\n"
          "done), every byte it would need (counted by the code that trains), and each setting\n"
          "with its origin. Writes nothing. With --no-measure it loads no weights and does no\n"
          "updates. With --device cuda --memory 8GB it answers for a GPU that need not be\n"
          "there: what is chosen to fit, or what would have to change.",
      .options = {{"no_measure", nullptr, "no updates, no time"}},
      .example = "qlora-engine plan examples/kjv_demo.json --lora_r 64",
      .run = run_plan};
}

}  // namespace qe::tools
