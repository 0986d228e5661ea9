// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a run reports: per update, per evaluation, and the files that keep it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/append_file.h"
#include "formats/event_file.h"
#include "formats/json.h"

namespace qe {

/// One update. Logarithms are natural.
struct StepMetrics {
  int64_t step = 0;         ///< 1-based: updates done
  int64_t total_steps = 0;  ///< of the whole run
  double epoch = 0.0;
  double loss = 0.0;  ///< mean over the update's labelled tokens
  double learning_rate = 0.0;
  double grad_norm = 0.0;  ///< before clipping
  int64_t n_labels = 0;
  int64_t n_tokens = 0;
  std::optional<double> mlm_probability;  ///< where it changes over the run
  double seconds = 0.0;                   ///< wall time of the update
  double data_wait = 0.0;                 ///< of them, waited for its batches
  /// Why the parameters were left as they were: "loss" or "gradient" (not finite), "loss scale" (of
  /// fp16, too high); else "".
  std::string skipped;
  bool logged = false;  ///< a log entry was written after it
};

/// One evaluation.
struct EvalMetrics {
  int64_t step = 0;
  double epoch = 0.0;
  double loss = 0.0;      ///< mean over labelled tokens
  double loss_hf = 0.0;   ///< transformers' eval_loss: mean of batch means, weighted by rows
  double accuracy = 0.0;  ///< labelled tokens whose best answer is right
  int64_t n_labels = 0;
  int64_t n_tokens = 0;
  int64_t n_samples = 0;
  double seconds = 0.0;

  double perplexity() const;  ///< exp(loss); infinity on overflow
};

/// metrics.jsonl lines. Of a skipped update also "skipped"; what is not finite is null.
Json to_json(const StepMetrics& metrics);
Json to_json(const EvalMetrics& metrics);

/// The numbers of a log entry under the names that transformers gives them in TensorBoard: eval_x
/// is eval/x, any other x is train/x. "step" is left out.
std::vector<EventFile::Scalar> event_scalars(const Json& log_entry);

/// Appends lines to a file, each flushed as it is written.
class MetricsFile {
 public:
  /// Of an existing file keeps the first n_lines, as far as they are of steps up to `last_step` and
  /// whole: those of an interrupted run go on.
  MetricsFile(const std::string& path, int64_t last_step, int64_t n_lines);
  /// Throws Error.
  void append(const Json& line);

 private:
  AppendFile file_;
};

}  // namespace qe
