// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Checkpoints: everything a run needs to go on as if it had never stopped. Masks, dropout and the
// order of samples are pure functions of seed and step, so the step count stands for all of them.

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/training_snapshot.h"
#include "formats/json.h"
#include "formats/run_config.h"

namespace qe {

/// The part of a run's state that is not in flat buffers.
struct TrainingState {
  int64_t step = 0;              ///< updates done
  double loss_sum = 0.0;         ///< sum of the finite losses of all updates so far
  int64_t n_losses = 0;          ///< their number
  double logged_loss_sum = 0.0;  ///< both at the last log entry
  int64_t logged_n_losses = 0;
  int64_t logged_step = 0;  ///< step of the last log entry
  int64_t n_tokens_seen = 0;
  int64_t metrics_lines = 0;   ///< written to metrics.jsonl
  float loss_scale = 1.0f;     ///< of fp16, else 1
  int32_t finite_updates = 0;  ///< since it last changed
  std::string choices;         ///< Backend::choices()
  Json log_history = Json::array();
  Json lr_schedule;  ///< LrSchedule::state()
  std::optional<double> best_metric;
  int64_t best_step = 0;        ///< of the best evaluation; 0: none yet
  int64_t n_not_better = 0;     ///< evaluations in a row, as early stopping counts
  Json watch;                   ///< LossWatch::state()
  bool evaluation_due = false;  ///< the step's evaluation was not finished
};

/// Where a run is and how it goes on, for trainer_state.json.
struct RunProgress {
  double epoch = 0.0;
  int64_t total_steps = 0;
  int64_t logging_steps = 0, eval_steps = 0, save_steps = 0;
  std::string best_checkpoint;  ///< folder of best_step's checkpoint; "" when there is none
};

/// trainer_state.json of Hugging Face's Trainer, with our own state under "qlora_engine".
/// `arguments` are the settings and data that the numbers of the run depend on, as a flat object.
Json trainer_state_json(const TrainingState& state, const Json& arguments,
                        const RunProgress& progress);

/// Writes `output_dir`/checkpoint-N atomically: adapter, tokenizer files, optimizer.safetensors
/// (named_states), trainer_state.json, training_args.json, and a manifest of them all. The snapshot
/// is there (wait). Returns its path.
std::string write_checkpoint(const std::string& output_dir, const TrainingState& state,
                             const Json& arguments, const RunProgress& progress,
                             const TrainingSnapshot& snapshot,
                             const std::vector<std::string>& tokenizer_files);

/// Restores all of it; whether the folder is whole was checked. Throws Error naming the file and,
/// when a setting differs from `arguments`, the setting with both values.
TrainingState read_checkpoint(const std::string& folder, const Json& arguments,
                              LoraAdapter& adapter, Optimizer& optimizer);

/// The checkpoint-N folder of `output_dir` with the largest N <= `up_to` that is whole, byte for
/// byte, if any; a warning names those that were passed over, and why.
std::optional<std::string> newest_checkpoint(const std::string& output_dir, const Log& log,
                                             int64_t up_to = std::numeric_limits<int64_t>::max());
/// The checkpoint that a run of these settings goes on from; "": it starts anew. Throws Error when
/// the settings name one that is not whole.
std::string resumed_folder(const RunConfig& config, const Log& log);
/// What the names of checkpoint folders begin with.
inline constexpr const char* kCheckpointPrefix = "checkpoint-";
/// The folder of a step's checkpoint, whether or not it is there.
std::string checkpoint_folder(const std::string& output_dir, int64_t step);
/// Deletes checkpoints until `keep` are left, but never that of `step`, which has just been
/// written, nor that of `best_step`: first those of later steps, which this run has yet to reach,
/// then the oldest. One that is being deleted has another name already.
void prune_checkpoints(const std::string& output_dir, int64_t keep, int64_t step,
                       int64_t best_step);

/// Copies files into `folder` (atomically each), keeping their names.
void copy_files(const std::vector<std::string>& files, const std::string& folder);

}  // namespace qe
