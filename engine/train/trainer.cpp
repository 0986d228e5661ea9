// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/memory/planning.h"
#include "engine/train/lr_schedule.h"
#include "formats/atomic_write.h"
#include "kernels/cpu/isa.h"
#include "kernels/ops/reduce.h"

namespace qe {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A number of steps, or below 1 a ratio of all steps.
int64_t steps_of(double setting, int64_t total) {
  return static_cast<int64_t>(setting < 1.0 ? std::ceil(setting * static_cast<double>(total))
                                            : setting);
}

std::vector<Record> read_all(const std::string& path, const std::string& column) {
  std::vector<Record> records;
  read_records(path, column, [&](Record&& record) { records.push_back(std::move(record)); });
  return records;
}

BaseOptions base_options(const RunConfig& config) {
  return BaseOptions{.bits = config.bits,
                     .quant_type = config.quant_type == "fp4" ? Quant4Type::kFp4 : Quant4Type::kNf4,
                     .double_quant = config.double_quant,
                     .block_size = config.quant_block_size};
}

int64_t parameters_of(const MaskedLm& model) {
  int64_t n = model.word_table.size() + model.position_table.size() + model.type_table.size() +
              model.decoder_bias.size();
  if (model.decoder.data != model.word_table.data) n += model.decoder.size();
  const auto norm = [&](const Norm& x) { n += x.gamma.size() + x.beta.size(); };
  const auto linear = [&](const Linear& x) { n += x.weight.n() * x.weight.k() + x.bias.size(); };
  norm(model.embedding_norm);
  for (const EncoderLayer& layer : model.layers) {
    for (const Linear& part : layer.qkv) linear(part);
    for (const Linear* part : {&layer.attention_output, &layer.ffn_up, &layer.ffn_down}) {
      linear(*part);
    }
    norm(layer.attention_norm);
    norm(layer.ffn_norm);
  }
  linear(model.head_dense);
  norm(model.head_norm);
  return n;
}

}  // namespace

Trainer::~Trainer() = default;

Trainer::Trainer(const RunConfig& config, Task task, bool planning, const Log& log)
    : config_(config),
      task_(task),
      log_(log),
      threads_(static_cast<int>(config.threads)),
      memory_(planning),
      encoder_(read_encoder_config(config.model_name_or_path)),
      tokenizer_(Tokenizer::load(config.model_name_or_path)) {
  QE_CHECK(tokenizer_.mask_id(), config.model_name_or_path, ": the tokenizer has no mask token");
  step_state_.seed = config.seed;
  ctx_ = Context{.threads = &threads_,
                 .arena = &arena_,
                 .step = &step_state_,
                 .log = &log_,
                 .planning = planning};
  if (task == Task::kTrain && !planning) {
    QE_CHECK(!config.output_dir.empty(), "output_dir: not given");
    require_writable_folder(config.output_dir);
  }
  load_data();
  model_ = load_masked_lm(config.model_name_or_path, base_options(config), ctx_, memory_);
  load_adapter();
  if (task == Task::kTrain) {
    optimizer_ = std::make_unique<Optimizer>(
        OptimizerOptions{.name = config.optim,
                         .beta1 = static_cast<float>(config.adam_beta1),
                         .beta2 = static_cast<float>(config.adam_beta2),
                         .epsilon = static_cast<float>(config.adam_epsilon),
                         .weight_decay = static_cast<float>(config.weight_decay)},
        adapter_->parameters(), adapter_->gradients(), memory_);
    loader_ = std::make_unique<DataLoader>(
        train_data_, collator(RandomPurpose::kMask),
        LoaderOptions{.batch_size = config.per_device_train_batch_size,
                      .gradient_accumulation_steps = config.gradient_accumulation_steps,
                      .shuffle = config.train_sampling_strategy == "random",
                      .seed = config.seed});
    schedule_ = make_schedule();
  }
  allocate_arena();
}

void Trainer::load_data() {
  const int64_t positions = encoder_.max_length();
  QE_CHECK(config_.max_seq_length <= positions, "max_seq_length: ", config_.max_seq_length,
           " exceeds the ", positions, " positions of ", config_.model_name_or_path);
  int64_t length = config_.max_seq_length;
  if (length == 0) {
    length = std::min<int64_t>(positions, 1024);
    if (tokenizer_.model_max_length() > 0) length = std::min(length, tokenizer_.model_max_length());
  }
  TokenizeOptions options{.max_length = length, .line_by_line = config_.line_by_line};
  const auto tokenize = [&](const std::vector<Record>& records, const std::string& name,
                            int64_t max_samples) {
    options.max_samples = max_samples;
    return tokenize_records(records, name, tokenizer_, encoder_.vocab_size, options, threads_,
                            log_);
  };
  const bool own_validation = !config_.validation_file.empty();
  const bool needs_training_rows = task_ == Task::kTrain || !own_validation;
  std::vector<Record> train_rows;
  std::vector<Record> eval_rows;
  if (needs_training_rows) {
    QE_CHECK(!config_.train_file.empty(),
             task_ == Task::kTrain ? "train_file: not given"
                                   : "validation_file: not given (nor train_file to split)");
    train_rows = read_all(config_.train_file, config_.text_column_name);
  }
  if (own_validation) {
    eval_rows = read_all(config_.validation_file, config_.text_column_name);
  } else {
    const double share = config_.validation_split_percentage / 100.0;
    const auto n_eval =
        static_cast<std::ptrdiff_t>(std::llround(share * static_cast<double>(train_rows.size())));
    eval_rows.assign(train_rows.begin(), train_rows.begin() + n_eval);
    train_rows.erase(train_rows.begin(), train_rows.begin() + n_eval);
  }
  if (task_ == Task::kTrain) {
    train_data_ = tokenize(train_rows, config_.train_file, config_.max_train_samples);
  }
  const bool evaluates = task_ == Task::kEvaluate || config_.eval_strategy != "no";
  if (evaluates) {
    eval_data_ = tokenize(eval_rows, own_validation ? config_.validation_file : config_.train_file,
                          config_.max_eval_samples);
  }
}

void Trainer::load_adapter() {
  const bool given = !config_.adapter_name_or_path.empty();
  if (task_ == Task::kEvaluate && !given) return;
  AdapterConfig settings;
  Adapter stored;
  if (given) {
    stored = read_adapter(config_.adapter_name_or_path);
    settings = stored.config;
  } else {
    settings.r = config_.lora_r;
    settings.lora_alpha = config_.lora_alpha;
    settings.lora_dropout = config_.lora_dropout;
    settings.all_linear = config_.target_all_linear;
    settings.target_modules = config_.target_modules;
  }
  settings.base_model_name_or_path = config_.model_name_or_path;
  settings.base_model_class = encoder_.masked_lm_class;
  settings.parent_library = encoder_.parent_library;
  adapter_ = std::make_unique<LoraAdapter>(settings, model_.lora_sites(), model_.n_linears(),
                                           task_ == Task::kTrain, memory_);
  if (memory_.planning()) return;
  if (given) {
    adapter_->assign(stored, config_.adapter_name_or_path);
  } else {
    adapter_->initialize(config_.seed);
  }
}

MlmCollator Trainer::collator(RandomPurpose purpose) const {
  return MlmCollator(encoder_,
                     MaskOptions{.mlm_probability = config_.mlm_probability,
                                 .mask_replace_prob = config_.mask_replace_prob,
                                 .random_replace_prob = config_.random_replace_prob,
                                 .mask_id = *tokenizer_.mask_id(),
                                 .n_random_ids = std::min(tokenizer_.size(), encoder_.vocab_size)},
                     philox_key(config_.seed, purpose));
}

// The largest batch there can be: every row labelled.
PackedBatch Trainer::planning_batch(int64_t batch_size, int64_t length) const {
  PackedBatch batch;
  const std::vector<int32_t> ids(length, *tokenizer_.mask_id());
  for (int64_t i = 0; i < batch_size; ++i) {
    batch.append(encoder_, static_cast<uint32_t>(i), ids, {}, ids);
  }
  batch.token_capacity = batch.n_tokens();
  batch.label_capacity = batch.n_tokens();
  return batch;
}

void Trainer::allocate_arena() {
  size_t n_bytes = 0;
  MlmTotals totals;
  const auto plan = [&](const PackedBatch& batch, bool training) {
    const size_t needed = planned_arena_bytes(ctx_, [&](Context& planning) {
      Tape tape(planning, training);
      const ForwardPass pass{&tape, &batch, adapter_.get(), training};
      masked_lm_loss(model_, pass, config_.gradient_checkpointing, &totals);
    });
    n_bytes = std::max(n_bytes, needed);
  };
  if (task_ == Task::kTrain) {
    const int64_t size = std::min(config_.per_device_train_batch_size, train_data_.size());
    plan(planning_batch(size, train_data_.max_length()), true);
  }
  if (eval_data_.size() > 0) {
    const int64_t size = std::min(config_.per_device_eval_batch_size, eval_data_.size());
    plan(planning_batch(size, eval_data_.max_length()), false);
  }
  void* slab = memory_.allocate("activations, gradients, scratch", n_bytes);
  arena_ = Arena(slab, n_bytes);
  tape_ = std::make_unique<Tape>(ctx_, task_ == Task::kTrain);
}

Trainer::Schedule Trainer::make_schedule() const {
  Schedule schedule;
  const int64_t per_epoch = loader_->updates_per_epoch();
  schedule.total_steps = config_.max_steps > 0
                             ? config_.max_steps
                             : static_cast<int64_t>(std::ceil(config_.num_train_epochs *
                                                              static_cast<double>(per_epoch)));
  const int64_t total = schedule.total_steps;
  schedule.warmup_steps = config_.warmup_steps > 0
                              ? steps_of(config_.warmup_steps, total)
                              : steps_of(std::min(config_.warmup_ratio, 0.9999999), total);
  const auto interval = [&](const std::string& strategy, double steps) {
    if (strategy == "steps") return std::max<int64_t>(1, steps_of(steps, total));
    return strategy == "epoch" ? per_epoch : 0;
  };
  schedule.logging_steps = interval("steps", config_.logging_steps);
  schedule.eval_steps = interval(config_.eval_strategy, config_.eval_steps);
  schedule.save_steps = interval(config_.save_strategy, config_.save_steps);
  return schedule;
}

RunSummary Trainer::summary() const {
  RunSummary summary{.n_parameters = parameters_of(model_),
                     .train_samples = train_data_.size(),
                     .train_tokens = train_data_.n_tokens(),
                     .eval_samples = eval_data_.size(),
                     .eval_tokens = eval_data_.n_tokens(),
                     .total_steps = schedule_.total_steps,
                     .max_length = std::max(train_data_.max_length(), eval_data_.max_length()),
                     .isa = std::string(cpu::isa_name()),
                     .threads = threads_.n_threads()};
  if (adapter_) {
    summary.n_trainable = static_cast<int64_t>(adapter_->parameters().size());
    summary.n_lora_modules = static_cast<int64_t>(adapter_->pairs().size());
  }
  if (loader_) summary.updates_per_epoch = loader_->updates_per_epoch();
  return summary;
}

EvalMetrics Trainer::evaluate() {
  QE_CHECK(!memory_.planning(), "a planned run cannot evaluate");
  const Clock::time_point start = Clock::now();
  DataLoader loader(
      eval_data_, collator(RandomPurpose::kEvalMask),
      LoaderOptions{.batch_size = config_.per_device_eval_batch_size, .shuffle = false});
  // Without fixed masks every evaluation draws new ones, as Hugging Face does.
  const uint32_t draw = config_.fixed_eval_masks ? 0 : static_cast<uint32_t>(step_state_.step);
  Tape tape(ctx_, false);
  PackedBatch batch;
  batch.token_capacity = config_.per_device_eval_batch_size * eval_data_.max_length();
  batch.label_capacity = batch.token_capacity;
  MlmTotals totals;
  double hf_sum = 0.0;
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
    loader.load_batch(draw, i, batch);
    MlmTotals of_batch;
    masked_lm_loss(model_, ForwardPass{&tape, &batch, adapter_.get(), false}, false, &of_batch);
    totals.loss += of_batch.loss;
    totals.n_labels += of_batch.n_labels;
    totals.n_correct += of_batch.n_correct;
    const double n_labels = static_cast<double>(std::max<int64_t>(1, of_batch.n_labels));
    hf_sum += static_cast<double>(batch.n_sequences()) * of_batch.loss / n_labels;
  }
  const double n_labels = static_cast<double>(std::max<int64_t>(1, totals.n_labels));
  return EvalMetrics{.step = step_state_.step,
                     .epoch = epoch_of(step_state_.step),
                     .loss = totals.loss / n_labels,
                     .loss_hf = hf_sum / static_cast<double>(eval_data_.size()),
                     .accuracy = static_cast<double>(totals.n_correct) / n_labels,
                     .n_labels = totals.n_labels,
                     .n_tokens = eval_data_.n_tokens(),
                     .n_samples = eval_data_.size(),
                     .seconds = seconds_since(start)};
}

double Trainer::epoch_of(int64_t step) const {
  if (!loader_) return 0.0;
  const int64_t per_epoch = loader_->updates_per_epoch();
  const int64_t batches = std::min(step % per_epoch * config_.gradient_accumulation_steps,
                                   loader_->batches_per_epoch());
  return static_cast<double>(step / per_epoch) +
         static_cast<double>(batches) / static_cast<double>(loader_->batches_per_epoch());
}

// Everything that the numbers of a run depend on.
Json Trainer::arguments() const {
  const RunConfig& c = config_;
  Json targets = Json::array();
  for (const LoraPair& pair : adapter_->pairs()) targets.push_back(pair.module);
  return Json::object({{"adam_beta1", c.adam_beta1},
                       {"adam_beta2", c.adam_beta2},
                       {"adam_epsilon", c.adam_epsilon},
                       {"bits", c.bits},
                       {"double_quant", c.double_quant},
                       {"gradient_accumulation_steps", c.gradient_accumulation_steps},
                       {"learning_rate", c.learning_rate},
                       {"lora_alpha", adapter_->config().lora_alpha},
                       {"lora_dropout", adapter_->config().lora_dropout},
                       {"lora_modules", targets},
                       {"lora_r", adapter_->config().r},
                       {"lr_scheduler_type", c.lr_scheduler_type},
                       {"mask_replace_prob", c.mask_replace_prob},
                       {"max_grad_norm", c.max_grad_norm},
                       {"max_steps", schedule_.total_steps},
                       {"mlm_probability", c.mlm_probability},
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
                       {"weight_decay", c.weight_decay}});
}

int64_t Trainer::start_or_resume(TrainingState& state) {
  std::string folder = config_.resume;
  if (folder == "no") return 0;
  if (folder == "auto") {
    const auto newest = newest_checkpoint(config_.output_dir);
    if (!newest) return 0;
    folder = *newest;
  }
  state = read_checkpoint(folder, arguments(), *adapter_, *optimizer_);
  log_.info(
      cat("resuming from ", folder, " (step ", state.step, " of ", schedule_.total_steps, ")"));
  return state.step;
}

// Forward and backward of all micro-batches, then one optimizer step.
void Trainer::run_update(int64_t n_micro, std::vector<PackedBatch>& batches, MlmTotals& totals) {
  int64_t n_labels = 0;
  for (int64_t i = 0; i < n_micro; ++i) n_labels += batches[i].n_labels();
  step_state_.inverse_labels = n_labels > 0 ? 1.0f / static_cast<float>(n_labels) : 0.0f;
  const std::span<float> gradients = adapter_->gradients();
  std::fill(gradients.begin(), gradients.end(), 0.0f);
  for (int64_t i = 0; i < n_micro; ++i) {
    const ForwardPass pass{tape_.get(), &batches[i], adapter_.get(), true};
    masked_lm_loss(model_, pass, config_.gradient_checkpointing, &totals);
  }
  gradient_norm(ctx_, gradients, static_cast<float>(config_.max_grad_norm));
  optimizer_->step(ctx_);
}

std::string Trainer::save_checkpoint(const TrainingState& state) {
  const std::string folder =
      write_checkpoint(config_.output_dir, state, arguments(), epoch_of(state.step),
                       schedule_.total_steps, *adapter_, *optimizer_, tokenizer_.files());
  if (config_.save_total_limit > 0) {
    prune_checkpoints(config_.output_dir, config_.save_total_limit);
  }
  return folder;
}

TrainResult Trainer::train(const TrainEvents& events) {
  QE_CHECK(!memory_.planning() && task_ == Task::kTrain, "this run was not set up for training");
  TrainingState state;
  TrainResult result{.first_step = start_or_resume(state), .total_steps = schedule_.total_steps};
  MetricsFile metrics(config_.output_dir + "/metrics.jsonl", state.step);
  const Clock::time_point start = Clock::now();
  std::vector<PackedBatch> batches(config_.gradient_accumulation_steps);
  for (PackedBatch& batch : batches) {
    batch.token_capacity = config_.per_device_train_batch_size * train_data_.max_length();
    batch.label_capacity = batch.token_capacity;
  }
  std::vector<EvalMetrics> evaluations;
  const auto due = [&](int64_t interval) { return interval > 0 && state.step % interval == 0; };
  const auto evaluate_now = [&] {
    step_state_.step = static_cast<int32_t>(state.step);
    evaluations.push_back(evaluate());
    metrics.append(to_json(evaluations.back()));
    state.log_history.push_back(to_json(evaluations.back()));
    if (events.on_evaluation) events.on_evaluation(evaluations.back());
  };
  const auto checkpoint_now = [&] {
    const std::string folder = save_checkpoint(state);
    if (events.on_checkpoint) events.on_checkpoint(folder);
  };
  if (state.step == 0 && schedule_.eval_steps > 0) evaluate_now();
  while (state.step < schedule_.total_steps) {
    const Clock::time_point step_start = Clock::now();
    const int64_t n_micro = events.load_update ? events.load_update(state.step, batches)
                                               : loader_->load_update(state.step, batches);
    step_state_.step = static_cast<int32_t>(state.step);
    step_state_.epoch = static_cast<uint32_t>(state.step / loader_->updates_per_epoch());
    step_state_.learning_rate = static_cast<float>(
        config_.learning_rate * lr_factor(config_.lr_scheduler_type, state.step,
                                          schedule_.warmup_steps, schedule_.total_steps));
    StepMetrics step{.total_steps = schedule_.total_steps};
    for (int64_t i = 0; i < n_micro; ++i) {
      step.n_tokens += batches[i].n_tokens();
      if (events.on_batch) events.on_batch(state.step, i, batches[i]);
    }
    MlmTotals totals;
    run_update(n_micro, batches, totals);
    if (!step_state_.finite) {
      log_.warn(cat("step ", state.step + 1, ": the gradient is not finite; update skipped"));
    }
    ++state.step;
    step.step = state.step;
    step.epoch = epoch_of(state.step);
    step.n_labels = totals.n_labels;
    step.loss = totals.n_labels > 0 ? totals.loss / static_cast<double>(totals.n_labels) : 0.0;
    step.learning_rate = step_state_.learning_rate;
    step.grad_norm = step_state_.gradient_norm;
    step.seconds = seconds_since(step_start);
    state.loss_sum += step.loss;
    state.n_tokens_seen += step.n_tokens;
    result.n_tokens += step.n_tokens;
    metrics.append(to_json(step));
    if (due(schedule_.logging_steps) || (config_.logging_first_step && state.step == 1)) {
      const double n = static_cast<double>(state.step - state.logged_step);
      state.log_history.push_back(
          Json::object({{"epoch", step.epoch},
                        {"grad_norm", step.grad_norm},
                        {"learning_rate", step.learning_rate},
                        {"loss", (state.loss_sum - state.logged_loss_sum) / n},
                        {"step", state.step}}));
      state.logged_loss_sum = state.loss_sum;
      state.logged_step = state.step;
    }
    if (events.on_step) events.on_step(step);
    const bool last = state.step == schedule_.total_steps;
    if (schedule_.eval_steps > 0 && (due(schedule_.eval_steps) || last)) evaluate_now();
    const bool stop = !last && events.stop && events.stop->load();
    if (stop || (schedule_.save_steps > 0 && (due(schedule_.save_steps) || last))) {
      checkpoint_now();
    }
    if (stop) {
      result.stopped = true;
      break;
    }
  }
  result.steps = state.step;
  result.seconds = seconds_since(start);
  result.train_loss = state.loss_sum / static_cast<double>(std::max<int64_t>(1, state.step));
  save_results(state, result, evaluations);
  return result;
}

void Trainer::save_results(const TrainingState& state, const TrainResult& result,
                           const std::vector<EvalMetrics>& evaluations) {
  const std::string& folder = config_.output_dir;
  const auto write = [&](const char* name, const Json& json) {
    write_file_atomically(folder + "/" + name, json.dump(2, true) + "\n");
  };
  write_adapter(folder, adapter_->config(), adapter_->views());
  copy_files(tokenizer_.files(), folder);
  write("trainer_state.json",
        trainer_state_json(state, arguments(), epoch_of(state.step), schedule_.total_steps));
  Json train = Json::object({{"epoch", epoch_of(state.step)},
                             {"train_loss", result.train_loss},
                             {"train_runtime", result.seconds},
                             {"train_samples", train_data_.size()},
                             {"train_steps", state.step}});
  write("train_results.json", train);
  Json all = train;
  if (!evaluations.empty()) {
    const Json eval = to_json(evaluations.back());
    write("eval_results.json", eval);
    for (const auto& [key, value] : eval.members()) all.set(key, value);
  }
  write("all_results.json", all);
}

}  // namespace qe
