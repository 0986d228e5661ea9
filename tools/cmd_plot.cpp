// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <charconv>
#include <iostream>

#include "engine/train/run_history.h"
#include "formats/atomic_write.h"
#include "kernels/core/error.h"
#include "tools/commands.h"

namespace qe::tools {
namespace {

std::optional<double> smoothing_of(const Arguments& arguments) {
  if (!arguments.has("smooth")) return {};
  const std::string text = arguments.text("smooth");
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 0 && value < 1) {
    return value;
  }
  throw UsageError(cat("--smooth: expected a number from 0 to below 1, got \"", text, "\""));
}

int run_plot(const Arguments& arguments) {
  if (arguments.positionals.empty()) throw UsageError("no run given");
  RunPlot plot{.metric = arguments.text("metric", "loss"),
               .x = arguments.text("x", "step"),
               .logarithmic = arguments.has("log"),
               .smoothing = smoothing_of(arguments)};
  if (plot.x != "step" && plot.x != "epoch") {
    throw UsageError(cat("--x: expected step or epoch, got \"", plot.x, "\""));
  }
  std::vector<RunCurve> runs;
  for (const std::string& path : arguments.positionals) {
    runs.push_back({path, read_run_history(path, plot.x)});
    QE_CHECK(!runs.back().history.empty(), path, ": no numbers in it");
  }
  plot.title = arguments.text("title", runs.size() == 1 ? runs[0].name : plot.metric);
  const std::string svg = run_plot_svg(runs, plot);
  if (!arguments.has("output")) {
    std::cout << svg;
    return 0;
  }
  write_file_atomically(arguments.text("output"), svg);
  std::cerr << "wrote " << arguments.text("output") << "\n";
  return 0;
}

}  // namespace

Command plot_command() {
  return {
      .name = "plot",
      .summary = "the curves of one or more runs in one picture (SVG)",
      .positionals = "RUN ...",
      .max_positionals = -1,
      .takes_settings = false,
      .description =
          "Draws the loss, or another number, of runs over their updates. A RUN is an output_dir\n"
          "of train or of Hugging Face's Trainer, or one of the files metrics.jsonl and\n"
          "trainer_state.json. A run that is going on is shown as far as it is. What is not\n"
          "finite is a gap, with a cross below it.",
      .options = {{"output", "FILE", "write the SVG there; default: standard output", false, 'o'},
                  {"metric", "NAME",
                   "loss (with eval_loss; the default), eval_loss, eval_accuracy, learning_rate, "
                   "grad_norm, tokens_per_second, or any number that the runs have"},
                  {"x", "NAME", "step (default) or epoch"},
                  {"log", nullptr, "a logarithmic axis"},
                  {"smooth", "S",
                   "exponential mean of lines, 0 (none) to below 1, over the faint original; "
                   "default: 0.9 for more than 100 points"},
                  {"title", "TEXT", "above the picture"}},
      .example = "qlora-engine plot out other-out -o loss.svg",
      .run = run_plot};
}

}  // namespace qe::tools
