// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The training run: from a RunConfig to an adapter folder. The same object plans (counting memory,
// reading only headers), evaluates and trains.

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/batch_buffer.h"
#include "engine/model/weight_loader.h"
#include "engine/train/checkpoint_writer.h"
#include "engine/train/data_loader.h"
#include "engine/train/lr_schedule.h"
#include "engine/train/memory_plan.h"
#include "engine/train/metrics.h"
#include "engine/train/paired_difference.h"
#include "engine/train/stop_token.h"
#include "engine/train/training_parts.h"
#include "engine/train/training_state.h"
#include "engine/train/triggers.h"
#include "engine/train/update.h"
#include "formats/run_config.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/ops/backend.h"

namespace qe {

/// Sinks and switches of a training run; any may be empty.
struct TrainEvents {
  std::function<void(const StepMetrics&)> on_step;
  std::function<void(const EvalMetrics&)> on_evaluation;
  std::function<void(const std::string& folder)> on_checkpoint;
  /// Every micro-batch before it runs; step is 0-based.
  std::function<void(int64_t step, int64_t micro_step, const PackedBatch&)> on_batch;
  /// Instead of the training data: fills the batches of a step and returns how many (a replayed
  /// dump).
  std::function<int64_t(int64_t step, std::vector<PackedBatch>&)> load_update;
  StopToken stop = nullptr;  ///< set: save a checkpoint at the next step and return
};

struct TrainResult {
  int64_t first_step = 0;  ///< > 0 after a resume
  int64_t steps = 0;       ///< updates done in all
  int64_t total_steps = 0;
  bool stopped = false;     ///< by the stop token, before the end
  double train_loss = 0.0;  ///< mean of the updates' losses
  double seconds = 0.0;     ///< of this process's training loop
  int64_t n_tokens = 0;     ///< trained on by this process
};

/// What Trainer::measure found.
struct MeasuredSpeed {
  int64_t n_updates = 0;  ///< measured; 0 of a run that is done
  int64_t n_tokens = 0;   ///< in them
  double seconds = 0.0;   ///< they took
  int64_t updates_left = 0;
  double training_seconds = 0.0;  ///< all that are left, by their share of tokens
  int64_t n_evaluations = 0;      ///< to come
  double evaluation_seconds = 0.0;

  double tokens_per_second() const { return static_cast<double>(n_tokens) / seconds; }
  double total_seconds() const { return training_seconds + evaluation_seconds; }
};

/// What a run will do, for people.
struct RunSummary {
  int64_t n_parameters = 0;         ///< of the base
  std::string stored_quantization;  ///< MaskedLm's
  int64_t n_trainable = 0;          ///< parameters
  int64_t n_lora_modules = 0;
  int64_t train_samples = 0, train_tokens = 0;
  int64_t eval_samples = 0, eval_tokens = 0;
  int64_t updates_per_epoch = 0, total_steps = 0;  ///< of the first epoch; of the run
  int64_t max_length = 0;                          ///< tokens of the longest sample
  Device device;
  std::string backend;  ///< the GPU's name, or the instruction set of the CPU kernels
  DType compute = DType::kF32;
  int threads = 1;
};

class Trainer {
 public:
  enum class Task {
    kTrain,
    kEvaluate,
    kMeasure,  ///< a training run that does a few updates and writes nothing
  };

  /// Reads the model's config, tokenizer and data, loads (or, planning, only measures) the weights,
  /// and plans then owns all memory. What the settings leave open is chosen so that it fits
  /// (memory_plan.h); logged. Throws Error for anything wrong with the settings or the files, and
  /// where the run does not fit; Stopped when `stop` is set meanwhile. eval_sets (of a run that
  /// only evaluates; they outlive it): instead of the validation data that the settings name.
  Trainer(const RunConfig& config, Task task, bool planning, const Log& log,
          StopToken stop = nullptr, std::span<const TokenDataset> eval_sets = {});
  ~Trainer();

  const std::vector<MemoryRow>& memory() const { return memory_.rows(); }
  Device device() const { return ctx_.device; }
  RunSummary summary() const;

  /// Loss over the validation data. Throws Stopped when `stop` is set meanwhile.
  EvalMetrics evaluate(StopToken stop = nullptr) { return evaluate_on(eval_data_, stop, nullptr); }
  /// Over one of eval_sets, and the losses of each of its sequences.
  EvalMetrics evaluate(const TokenDataset& set, SequenceLosses& losses, StopToken stop = nullptr) {
    return evaluate_on(set, stop, &losses);
  }
  /// Trains to the end (or until stopped) and writes everything into output_dir. Checkpoints are
  /// written meanwhile; one that cannot be is a warning that names file and cause, and the training
  /// goes on; but when it was to be the last, at a stop, that is an Error. Task::kTrain only.
  TrainResult train(const TrainEvents& events);

  /// How long what is left of the run will take, from its next few updates and evaluation batches.
  /// Throws Stopped when `stop` is set meanwhile. Task::kMeasure only, once.
  MeasuredSpeed measure(StopToken stop = nullptr);

  /// The settings with what was chosen for memory.
  const RunConfig& config() const { return config_; }
  const LoraAdapter* adapter() const { return parts_->adapter.get(); }
  const MaskedLm& model() const { return parts_->model; }

 private:
  struct Schedule {
    int64_t total_steps = 0;
    int64_t warmup_steps = 0;
  };
  bool trains() const { return task_ != Task::kEvaluate; }
  void load_data(StopToken stop);
  EvalMetrics evaluate_on(const TokenDataset& data, StopToken stop, SequenceLosses* losses,
                          int64_t max_batches = std::numeric_limits<int64_t>::max());
  void measure_updates(int64_t first, StopToken stop, MeasuredSpeed& speed);
  double measure_evaluation(StopToken stop);
  RunShape shape() const;
  void fit_memory(TensorSource& weights);
  void keep_choices_of_checkpoint();
  void prepare_training();
  Context make_context(bool planning);
  MlmCollator collator(RandomPurpose purpose) const;
  Schedule make_schedule() const;
  double epoch_of(int64_t step) const;

  // The loop, in training_run.cpp.
  struct Run;
  Json arguments() const;
  void resume(TrainingState& state);
  UpdateResult update(int64_t step, std::span<const PackedBatch> batches);
  StepMetrics train_step(Run& run);
  void append_metrics(Run& run, const Json& line);
  std::unique_ptr<EventFile> open_events(const Run& run) const;
  void append_events(Run& run, const Json& log_entry);
  void record_step(Run& run, StepMetrics step, bool log);
  bool evaluate_in(Run& run, bool decides);
  void record_bad_batches(Run& run, const StepMetrics& step);
  void watch_losses(Run& run, const StepMetrics& step);
  void rewind(Run& run, const std::string& why);
  void end_step(Run& run, bool save);
  RunProgress progress_of(const Run& run) const;
  void start_checkpoint(Run& run);
  void finish_checkpoint(Run& run, bool required);
  void load_best(Run& run);
  void save_results(const Run& run);

  RunConfig config_;
  Task task_;
  Log log_;
  ThreadPool threads_;
  Backend backend_;
  Context ctx_;
  Memory memory_;
  EncoderConfig encoder_;
  Tokenizer tokenizer_;
  std::string resumed_folder_;  ///< "": a run that starts anew
  TokenDataset train_data_;
  TokenDataset eval_data_;
  std::span<const TokenDataset> eval_sets_;  ///< eval_data_, where none were given
  std::unique_ptr<TrainingParts> parts_;
  std::unique_ptr<DataLoader> loader_;
  Schedule schedule_;
  std::optional<LrSchedule> learning_rate_;
  std::optional<MaskRate> mask_rate_;  // absent: mlm_probability
  Triggers triggers_;
  BestMetric best_;
};

}  // namespace qe
