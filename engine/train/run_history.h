// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The numbers that a run left, ours or one of Hugging Face's Trainer, and their picture.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/line_plot.h"

namespace qe {

/// Every number of a run by its key ("loss", "eval_loss", "grad_norm" ...), over the values of the
/// key that was asked for as x, ascending. null and NaN are NaN.
using RunHistory = std::map<std::string, std::vector<PlotPoint>>;

/// Of a run's folder: metrics.jsonl (every update), else trainer_state.json (every log entry), else
/// that of its newest checkpoint; or of one such file. An update that is there twice counts as it
/// was written last; an unfinished last line, of a run that goes on, does not count. x: "step" or
/// "epoch". Throws Error: what cannot be read, with file and line.
RunHistory read_run_history(const std::string& path, const std::string& x);

struct RunCurve {
  std::string name;  ///< in the legend
  RunHistory history;
};

struct RunPlot {
  std::string title;
  std::string metric = "loss";  ///< a key of the histories; "loss" shows eval_loss as well
  std::string x = "step";       ///< as read
  bool logarithmic = false;
  /// PlotLine::smoothing of lines of updates; absent: 0.9 where there are more than 100 points.
  std::optional<double> smoothing;
};

/// An SVG of all runs. Throws Error when one has no such metric, with those that it has.
std::string run_plot_svg(const std::vector<RunCurve>& runs, const RunPlot& plot);

}  // namespace qe
