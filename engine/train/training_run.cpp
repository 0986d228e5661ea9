// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Trainer's loop: updates, logs, evaluations, checkpoints, results.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/train/batch_dump.h"
#include "engine/train/loss_watch.h"
#include "engine/train/trainer.h"
#include "engine/train/training_card.h"
#include "engine/train/update.h"
#include "formats/atomic_write.h"
#include "formats/mapped_file.h"

namespace qe {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

// One call of train().
struct Trainer::Run {
  const TrainEvents& events;
  TrainingState state;
  TrainResult result;
  std::unique_ptr<UpdateStream> updates;  // null: events.load_update gives them
  std::vector<PackedBatch> batches;       // micro-batches of the current update
  size_t n_batches = 0;                   // how many of them
  LossWatch watch;
  std::string rewound_to;                  // the newest checkpoint that the run went back to,
  int n_rewinds = 0;                       // and how often
  std::unique_ptr<MetricsFile> metrics;    // null: it could not be written
  std::unique_ptr<EventFile> tensorboard;  // null: not asked for, or the same
  std::unique_ptr<CheckpointWriter> checkpoints;
  std::vector<EvalMetrics> evaluations;
};

// Everything that the numbers of a run depend on.
Json Trainer::arguments() const {
  const RunConfig& c = config_;
  Json targets = Json::array();
  for (const LoraPair& pair : parts_->adapter->pairs()) targets.push_back(pair.module);
  const Json lora = Json::object(lora_config_members(parts_->adapter->config()));
  Json arguments = Json::object({{"adam_beta1", c.adam_beta1},
                                 {"adam_beta2", c.adam_beta2},
                                 {"adam_epsilon", c.adam_epsilon},
                                 {"bits", c.bits},
                                 {"compute_dtype", std::string(dtype_name(ctx_.compute))},
                                 {"data_seed", c.data_seed ? Json(*c.data_seed) : Json()},
                                 {"dataloader_drop_last", c.dataloader_drop_last},
                                 {"double_quant", c.double_quant},
                                 {"gradient_accumulation_steps", c.gradient_accumulation_steps},
                                 {"label_smoothing_factor", c.label_smoothing_factor},
                                 {"learning_rate", c.learning_rate},
                                 {"alpha_pattern", lora.at("alpha_pattern")},
                                 {"lora_alpha", lora.at("lora_alpha")},
                                 {"lora_dropout", lora.at("lora_dropout")},
                                 {"lora_modules", targets},
                                 {"lora_r", lora.at("r")},
                                 {"rank_pattern", lora.at("rank_pattern")},
                                 {"use_rslora", lora.at("use_rslora")},
                                 {"loss_norm", c.loss_norm},
                                 {"lr_scheduler_kwargs", c.lr_scheduler_kwargs},
                                 {"lr_scheduler_type", c.lr_scheduler_type},
                                 {"mask_replace_prob", c.mask_replace_prob},
                                 {"max_grad_norm", c.max_grad_norm},
                                 {"max_steps", schedule_.total_steps},
                                 {"mlm_probability", c.mlm_probability},
                                 {"neftune_noise_alpha", c.neftune_noise_alpha},
                                 {"num_train_epochs", c.num_train_epochs},
                                 {"optim", c.optim},
                                 {"per_device_train_batch_size", c.per_device_train_batch_size},
                                 {"quant_block_size", c.quant_block_size},
                                 {"quant_type", c.quant_type},
                                 {"random_replace_prob", c.random_replace_prob},
                                 {"seed", static_cast<int64_t>(c.seed)},
                                 {"train_data_hash", train_data_.hash()},
                                 {"train_sampling_strategy", c.train_sampling_strategy},
                                 {"warmup_steps", schedule_.warmup_steps},
                                 {"weight_decay", c.weight_decay},
                                 {"whole_word_mask", c.whole_word_mask},
                                 {"wwm_compat", c.wwm_compat}});
  // What a run without them does not say.
  if (parts_->adapter->config().use_dora) arguments.set("use_dora", true);
  if (c.per_device_train_batch_tokens > 0) {
    arguments.set("per_device_train_batch_size", Json());
    arguments.set("per_device_train_batch_tokens", c.per_device_train_batch_tokens);
  }
  if (c.mlm_probability_end) {
    arguments.set("mlm_probability_end", *c.mlm_probability_end);
    arguments.set("mlm_probability_schedule", c.mlm_probability_schedule);
  }
  if (c.span_mask) {
    arguments.set("span_mask", true);
    arguments.set("span_geometric_p", c.span_geometric_p);
    arguments.set("span_max_words", c.span_max_words);
  }
  if (c.loraplus_lr_ratio != 1.0) arguments.set("loraplus_lr_ratio", c.loraplus_lr_ratio);
  if (const Json* tokens = lora.find("trainable_token_indices")) {
    arguments.set("trainable_token_indices", *tokens);
  }
  if (!parts_->adapter->full_tensors().empty()) {
    arguments.set("bias", lora.at("bias"));
    arguments.set("modules_to_save", lora.at("modules_to_save"));
  }
  if (splits_base(parts_->adapter->config().init)) {
    arguments.set("init_lora_weights", lora.at("init_lora_weights"));
  }
  // Evaluations count where the learning rate follows them.
  if (learning_rate_->follows_metric()) {
    arguments.set("eval_data_hash", eval_data_.hash());
    arguments.set("eval_delay", c.eval_delay);
    arguments.set("eval_steps", triggers_.eval_steps());
    arguments.set("eval_strategy", c.eval_strategy);
    arguments.set("fixed_eval_masks", c.fixed_eval_masks);
    arguments.set("metric_for_best_model", c.metric_for_best_model);
  }
  return arguments;
}

void Trainer::resume(TrainingState& state) {
  const std::string& folder = resumed_folder_;
  if (folder.empty()) return;
  state = read_checkpoint(folder, arguments(), *parts_->adapter, *parts_->optimizer);
  learning_rate_->restore(state.lr_schedule);
  parts_->adapter->refresh(ctx_);
  const std::string refused = backend_.adopt_choices(ctx_, state.choices);
  if (!refused.empty()) {
    log_.warn(
        cat("resume is not bit-exact here: the algorithms of the checkpoint's matrix products "
            "cannot be used: ",
            refused));
  }
  parts_->step.values().loss_scale = state.loss_scale;
  parts_->step.values().finite_updates = state.finite_updates;
  parts_->step.upload_all(ctx_);
  log_.info(
      cat("resuming from ", folder, " (step ", state.step, " of ", schedule_.total_steps, ")"));
}

UpdateResult Trainer::update(int64_t step, std::span<const PackedBatch> batches) {
  StepState& values = parts_->step.values();
  values.step = static_cast<int32_t>(step);
  values.epoch = static_cast<uint32_t>(loader_->epochs().place_of(step).epoch);
  values.learning_rate = static_cast<float>(learning_rate_->rate(step));
  return run_update({.model = parts_->model,
                     .adapter = *parts_->adapter,
                     .optimizer = *parts_->optimizer,
                     .tape = *parts_->tape,
                     .step = parts_->step,
                     .batches = *parts_->batches,
                     .snapshot = parts_->snapshot.get(),
                     .checkpoint = config_.gradient_checkpointing,
                     .max_grad_norm = static_cast<float>(config_.max_grad_norm),
                     .label_smoothing = static_cast<float>(config_.label_smoothing_factor),
                     .noise_alpha = static_cast<float>(config_.neftune_noise_alpha),
                     .mean_of_means = config_.loss_norm == "microbatch"},
                    batches);
}

StepMetrics Trainer::train_step(Run& run) {
  const Clock::time_point start = Clock::now();
  const int64_t step = run.state.step;
  const int64_t n_micro =
      run.updates ? run.updates->next(run.batches) : run.events.load_update(step, run.batches);
  run.n_batches = static_cast<size_t>(n_micro);
  StepState& values = parts_->step.values();
  int64_t n_tokens = 0;
  for (int64_t i = 0; i < n_micro; ++i) {
    n_tokens += run.batches[i].n_tokens();
    if (run.events.on_batch) run.events.on_batch(step, i, run.batches[i]);
  }
  const float scale_before = values.loss_scale;
  const UpdateResult done =
      update(step, std::span(run.batches).first(static_cast<size_t>(n_micro)));
  run.state.loss_scale = values.loss_scale;
  run.state.finite_updates = values.finite_updates;
  std::string skipped;
  if (!values.finite) {
    const bool loss = !std::isfinite(done.loss);
    // A gradient may be beyond fp16 only because of the scale, which is halved then.
    const bool scale = !loss && ctx_.compute == DType::kF16 && scale_before > 1.0f;
    skipped = loss ? "loss" : scale ? "loss scale" : "gradient";
    log_.warn(cat("step ", step + 1, ": the ", loss ? "loss" : "gradient", " is not finite",
                  scale ? cat(" at a loss scale of ", scale_before) : "", "; update skipped"));
  }
  return StepMetrics{
      .step = step + 1,
      .total_steps = schedule_.total_steps,
      .epoch = epoch_of(step + 1),
      .loss = done.loss,
      .learning_rate = values.learning_rate,
      .grad_norm = values.gradient_norm,
      .n_labels = done.totals.n_labels,
      .n_tokens = n_tokens,
      .mlm_probability = mask_rate_ ? std::optional(mask_rate_->at(step)) : std::nullopt,
      .seconds = seconds_since(start),
      .data_wait = run.updates ? run.updates->waited() : 0.0,
      .skipped = skipped};
}

// A full disk is no reason to end a run whose state is in memory.
void Trainer::append_metrics(Run& run, const Json& line) {
  if (!run.metrics) return;
  try {
    run.metrics->append(line);
    ++run.state.metrics_lines;
  } catch (const Error& error) {
    log_.warn(cat(error.what(), "; this run writes no more metrics there"));
    run.metrics.reset();
  }
}

// A run that is resumed goes on in the folder that it had.
std::unique_ptr<EventFile> Trainer::open_events(const Run& run) const {
  if (!reports_to_tensorboard(config_)) return nullptr;
  const bool resumed = run.state.step > 0;
  std::string folder = config_.logging_dir;
  if (folder.empty()) {
    const std::string runs = config_.output_dir + "/runs";
    const auto newest = resumed ? newest_event_folder(runs) : std::nullopt;
    folder = newest.value_or(runs + "/" + event_folder_name());
  }
  auto events = std::make_unique<EventFile>(
      folder, resumed ? std::optional(run.state.step + 1) : std::nullopt);
  events->append_text(run.state.step, "args", arguments().dump(2, true));
  return events;
}

void Trainer::append_events(Run& run, const Json& log_entry) {
  if (!run.tensorboard) return;
  try {
    run.tensorboard->append_scalars(run.state.step, event_scalars(log_entry));
  } catch (const Error& error) {
    log_.warn(cat(error.what(), "; this run writes no more events there"));
    run.tensorboard.reset();
  }
}

// Adds a finished update to the run's state, its files and its listeners.
void Trainer::record_step(Run& run, StepMetrics step, bool log) {
  step.logged = log;
  TrainingState& state = run.state;
  state.step = step.step;
  if (std::isfinite(step.loss)) {
    state.loss_sum += step.loss;
    ++state.n_losses;
  }
  state.n_tokens_seen += step.n_tokens;
  run.result.n_tokens += step.n_tokens;
  append_metrics(run, to_json(step));
  if (log) {
    const double n = static_cast<double>(state.n_losses - state.logged_n_losses);
    Json entry = Json::object({{"epoch", step.epoch},
                               {"grad_norm", step.grad_norm},
                               {"learning_rate", step.learning_rate},
                               {"loss", (state.loss_sum - state.logged_loss_sum) / n},
                               {"step", state.step}});
    if (step.mlm_probability) entry.set("mlm_probability", *step.mlm_probability);
    state.log_history.push_back(std::move(entry));
    append_events(run, state.log_history.items().back());
    state.logged_loss_sum = state.loss_sum;
    state.logged_n_losses = state.n_losses;
    state.logged_step = state.step;
  }
  if (run.events.on_step) run.events.on_step(step);
}

// What made an update bad can be looked at, and run again (--replay_batches).
void Trainer::record_bad_batches(Run& run, const StepMetrics& step) {
  Json samples = Json::array();
  for (size_t i = 0; i < run.n_batches; ++i) {
    for (const uint32_t sample : run.batches[i].sample_ids) samples.push_back(int64_t{sample});
  }
  append_metrics(run, Json::object({{"step", step.step}, {"skipped_samples", samples}}));
  try {
    BatchDumpWriter dump(config_.output_dir + "/bad_batches.jsonl", true);
    for (size_t i = 0; i < run.n_batches; ++i) {
      dump.write(step.step - 1, static_cast<int64_t>(i), run.batches[i]);
    }
  } catch (const Error& error) {
    log_.warn(error.what());
  }
}

// Bad updates and spikes of the loss, and what the settings say should follow.
void Trainer::watch_losses(Run& run, const StepMetrics& step) {
  const bool bad = step.skipped == "loss" || step.skipped == "gradient";
  if (bad) record_bad_batches(run, step);
  if (step.skipped == "loss scale") return;
  const LossWatch::Finding finding = run.watch.see(step.loss, bad);
  if (finding == LossWatch::Finding::kSpike) {
    const std::string what = cat("step ", step.step, ": the loss, ", step.loss, ", is above ",
                                 config_.loss_spike_threshold, " times ", run.watch.mean(),
                                 ", the mean of the ", config_.loss_spike_window, " before");
    if (config_.on_loss_spike == "rewind") return rewind(run, what);
    log_.warn(what);
  } else if (finding == LossWatch::Finding::kTooManyBad) {
    const std::string what =
        cat("step ", step.step, ": ", run.watch.bad_in_row(),
            " updates in a row had a loss or gradient that is not finite (max_bad_steps); their "
            "batches are in bad_batches.jsonl");
    if (config_.on_bad_steps == "rewind") return rewind(run, what);
    run.watch.forget();  // whoever resumes has seen them
    start_checkpoint(run);
    finish_checkpoint(run, false);
    fail(what);
  }
}

// Parameters and states become the newest checkpoint's; everything else goes on from here.
void Trainer::rewind(Run& run, const std::string& why) {
  constexpr int kMaxRewinds = 3;
  finish_checkpoint(run, false);
  const auto folder = newest_checkpoint(config_.output_dir, log_, run.state.step);
  QE_CHECK(folder, why, "; there is no checkpoint to go back to");
  run.n_rewinds = *folder == run.rewound_to ? run.n_rewinds + 1 : 1;
  run.rewound_to = *folder;
  QE_CHECK(run.n_rewinds <= kMaxRewinds, why, "; going back to ", *folder, " did not help ",
           kMaxRewinds, " times");
  read_checkpoint(*folder, arguments(), *parts_->adapter, *parts_->optimizer);
  parts_->adapter->refresh(ctx_);
  run.watch.forget();
  log_.warn(cat(why, "; back to the adapter of ", *folder, ", and on with the next batch"));
}

// Whether it is the best evaluation so far. `decides`: the learning rate and the best checkpoint
// follow it. Throws Stopped.
bool Trainer::evaluate_in(Run& run, bool decides) {
  TrainingState& state = run.state;
  parts_->step.values().step = static_cast<int32_t>(state.step);
  const EvalMetrics metrics = evaluate(run.events.stop);
  run.evaluations.push_back(metrics);
  append_metrics(run, to_json(metrics));
  state.log_history.push_back(to_json(metrics));
  append_events(run, to_json(metrics));
  if (run.events.on_evaluation) run.events.on_evaluation(metrics);
  if (!decides) return false;
  const double value = best_.value_of(metrics);
  learning_rate_->observe(value);
  state.lr_schedule = learning_rate_->state();
  state.n_not_better = best_.count_not_better(value, state.best_metric, state.n_not_better);
  if (!best_.tracked() || !best_.is_better(value, state.best_metric)) return false;
  state.best_metric = value;
  state.best_step = state.step;
  return true;
}

RunProgress Trainer::progress_of(const Run& run) const {
  const std::string best = checkpoint_folder(config_.output_dir, run.state.best_step);
  return RunProgress{
      .epoch = epoch_of(run.state.step),
      .total_steps = schedule_.total_steps,
      .logging_steps = triggers_.logging_steps(),
      .eval_steps = triggers_.eval_steps(),
      .save_steps = triggers_.save_steps(),
      .best_checkpoint = run.state.best_step > 0 && folder_exists(best) ? best : std::string()};
}

// What follows an update, or was left of it when the run was stopped: its evaluation, its
// checkpoint.
void Trainer::end_step(Run& run, bool save) {
  bool is_best = false;
  if (run.state.evaluation_due) {
    try {
      is_best = evaluate_in(run, true);
      run.state.evaluation_due = false;
    } catch (const Stopped&) {
      run.result.stopped = true;
    }
  }
  const bool ends = best_.ends(run.state.n_not_better);
  if (ends) {
    log_.info(cat("update ", run.state.step, " is the last: ", run.state.n_not_better,
                  " evaluations in a row were not better (early_stopping_patience)"));
  }
  const bool last = ends || run.state.step == schedule_.total_steps;
  run.result.stopped = run.result.stopped || (!last && is_stopped(run.events.stop));
  if (run.checkpoints->done()) finish_checkpoint(run, false);
  if (save || run.result.stopped || (is_best && config_.save_strategy == "best") ||
      (ends && config_.save_strategy == "steps")) {
    start_checkpoint(run);
  }
}

void Trainer::start_checkpoint(Run& run) {
  finish_checkpoint(run, false);
  run.state.choices = backend_.choices();
  run.state.watch = run.watch.state();
  RunProgress progress = progress_of(run);
  if (run.state.best_step == run.state.step) {  // it is being written
    progress.best_checkpoint = checkpoint_folder(config_.output_dir, run.state.step);
  }
  run.checkpoints->start(ctx_, run.state, arguments(), progress);
}

// Waits for the checkpoint that is being written, if any, and tells of it.
void Trainer::finish_checkpoint(Run& run, bool required) {
  if (!run.checkpoints->pending()) return;
  try {
    const CheckpointWriter::Written written = run.checkpoints->finish();
    if (!written.warning.empty()) log_.warn(written.warning);
    if (run.events.on_checkpoint) run.events.on_checkpoint(written.folder);
  } catch (const Error& error) {
    if (required) throw;
    log_.warn(cat(error.what(), "; the training goes on"));
  }
}

// load_best_model_at_end: the results are the best checkpoint's.
void Trainer::load_best(Run& run) {
  const std::string folder = progress_of(run).best_checkpoint;
  if (folder.empty()) {
    log_.warn(
        "load_best_model_at_end: there is no checkpoint of the best evaluation; the last "
        "update's adapter is kept");
    return;
  }
  if (run.state.best_step == run.state.step) return;
  parts_->adapter->assign(read_adapter(folder), folder);
  log_.info(cat("loaded the best checkpoint, ", folder));
  try {
    evaluate_in(run, false);
  } catch (const Stopped&) {
    run.result.stopped = true;
  }
}

TrainResult Trainer::train(const TrainEvents& events) {
  QE_CHECK(!memory_.planning() && task_ == Task::kTrain, "this run was not set up for training");
  Run run{.events = events,
          .watch = LossWatch({.max_bad = config_.max_bad_steps,
                              .window = config_.loss_spike_window,
                              .threshold = config_.loss_spike_threshold})};
  remove_leftovers(config_.output_dir, kCheckpointPrefix);
  resume(run.state);
  if (!run.state.watch.is_null()) run.watch.restore(run.state.watch);
  run.result.first_step = run.state.step;
  run.result.total_steps = schedule_.total_steps;
  run.metrics = std::make_unique<MetricsFile>(config_.output_dir + "/metrics.jsonl", run.state.step,
                                              run.state.metrics_lines);
  run.tensorboard = open_events(run);
  run.checkpoints = std::make_unique<CheckpointWriter>(config_.output_dir, tokenizer_.files(),
                                                       config_.save_total_limit, *parts_->snapshot);
  run.batches.resize(config_.gradient_accumulation_steps);
  for (PackedBatch& batch : run.batches) {
    batch.token_capacity = parts_->train_capacity;
    batch.label_capacity = parts_->train_capacity;
  }
  if (!events.load_update) {
    run.updates = std::make_unique<UpdateStream>(*loader_, run.state.step, schedule_.total_steps,
                                                 parts_->train_capacity);
  }
  const Clock::time_point start = Clock::now();
  try {
    if (run.state.step == 0 && config_.eval_on_start) evaluate_in(run, false);
  } catch (const Stopped&) {
    run.result.stopped = true;
  }
  if (run.state.evaluation_due) {
    end_step(run, triggers_.after(run.state.step, epoch_of(run.state.step)).save);
  }
  while (run.state.step < schedule_.total_steps && !run.result.stopped &&
         !best_.ends(run.state.n_not_better)) {
    const StepMetrics step = train_step(run);
    const DueActions due = triggers_.after(step.step, step.epoch);
    record_step(run, step, due.log);
    watch_losses(run, step);
    run.state.evaluation_due = due.evaluate;
    end_step(run, due.save);
  }
  finish_checkpoint(run, run.result.stopped);
  if (config_.load_best_model_at_end && !run.result.stopped) load_best(run);
  run.result.steps = run.state.step;
  run.result.seconds = seconds_since(start);
  run.result.train_loss =
      run.state.loss_sum / static_cast<double>(std::max<int64_t>(1, run.state.n_losses));
  if (!run.result.stopped && run.result.first_step < run.result.steps) {
    append_events(run, Json::object({{"train_loss", run.result.train_loss},
                                     {"train_runtime", run.result.seconds}}));
  }
  save_results(run);
  return run.result;
}

void Trainer::save_results(const Run& run) {
  const std::string& folder = config_.output_dir;
  const auto write = [&](const char* name, const Json& json) {
    write_file_atomically(folder + "/" + name, json.dump(2, true) + "\n");
  };
  const Json training = Json::object({{"epoch", epoch_of(run.state.step)},
                                      {"train_loss", run.result.train_loss},
                                      {"train_runtime", run.result.seconds},
                                      {"train_samples", train_data_.size()},
                                      {"train_steps", run.state.step}});
  Json all = training;
  const Json evaluation =
      run.evaluations.empty() ? Json::object() : to_json(run.evaluations.back());
  for (const auto& [key, value] : evaluation.members()) all.set(key, value);
  const bool has_card = write_adapter(folder, parts_->adapter->config(), parts_->adapter->views(),
                                      training_card(config_, train_data_, eval_data_, all));
  if (!has_card) log_.info(cat(folder, "/README.md is not this program's and stays as it is"));
  copy_files(tokenizer_.files(), folder);
  write("trainer_state.json", trainer_state_json(run.state, arguments(), progress_of(run)));
  write("train_results.json", training);
  if (!run.evaluations.empty()) write("eval_results.json", evaluation);
  write("all_results.json", all);
}

}  // namespace qe
