// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/plan_report.h"

#include <cmath>
#include <iostream>

#include "engine/model/device_memory.h"
#include "kernels/core/error.h"
#include "kernels/ops/backend.h"
#include "tools/module_groups.h"
#include "tools/run_report.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

/// "85 ms", "2.3 s", "2:05".
std::string short_duration(double seconds) {
  if (seconds < 1) return fixed(1000 * seconds, seconds < 0.01 ? 1 : 0) + " ms";
  return seconds < 60 ? fixed(seconds, 1) + " s" : human_duration(seconds);
}

std::string times(int64_t n, const char* what) {
  return cat(human_count(n), " ", what, n == 1 ? "" : "s");
}

}  // namespace

std::string time_text(const MeasuredSpeed& speed) {
  if (speed.n_updates == 0) return "none: all updates are done";
  const auto each = [](double seconds, int64_t n) {
    return short_duration(seconds / static_cast<double>(n));
  };
  std::string text = cat(
      "about ", short_duration(speed.total_seconds()), ": ", times(speed.updates_left, "update"),
      " of ", each(speed.training_seconds, speed.updates_left), " (", speed.n_updates,
      " measured, ", human_count(std::llround(speed.tokens_per_second())), " tokens/s)");
  if (speed.n_evaluations > 0) {
    text += cat(", ", times(speed.n_evaluations, "evaluation"), " of ",
                each(speed.evaluation_seconds, speed.n_evaluations));
  }
  return text;
}

std::string modules_text(const LoraAdapter& adapter) {
  Table table("rlrrr");
  table.add({"", "module", "rank", "in x out", "parameters"});
  table.rule();
  for (const ModuleGroup& group : module_groups(adapter)) {
    table.add({human_count(group.n_modules), group.pattern,
               group.r > 0 ? std::to_string(group.r) : "in full",
               group.r > 0 ? cat(group.in, " x ", group.out) : "",
               human_count(group.n_parameters)});
  }
  return table.text(2);
}

void show_plan(const RunConfig& config, bool measure, Progress& progress) {
  const std::atomic<bool>& stop = stop_on_signals();
  measure = measure && !is_absent(find_device(config.device, true));
  Trainer trainer(config, measure ? Trainer::Task::kMeasure : Trainer::Task::kTrain,
                  /*planning=*/!measure, progress.log(), &stop);
  std::string time;
  if (measure) {
    progress.line("doing a few updates, to see how long they take (not with --no-measure)");
    time = "time        " + time_text(trainer.measure(&stop)) + "\n";
  }
  progress.clear();
  std::cout << summary_text(trainer.config(), trainer.summary()) << time << "\nWhat is trained\n"
            << modules_text(*trainer.adapter()) << "\nMemory, in bytes on the right\n"
            << memory_text(trainer.memory(), trainer.device())
            << "\nSettings, and where each came from\n"
            << settings_text(trainer.config());
}

}  // namespace qe::tools
