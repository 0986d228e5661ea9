// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "engine/train/update.h"
#include "formats/atomic_write.h"
#include "kernels/ops/backend.h"

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

std::vector<Record> read_all(const std::string& path, const TextColumns& columns) {
  std::vector<Record> records;
  read_records(path, columns, [&](Record&& record) { records.push_back(std::move(record)); });
  return records;
}

SampleOrder order_of(const std::string& strategy) {
  if (strategy == "sequential") return SampleOrder::kSequential;
  return strategy == "random" ? SampleOrder::kShuffled : SampleOrder::kGrouped;
}

// A continued adapter has its own rank, scale and dropout.
void warn_of_ignored_settings(const RunConfig& config, const LoraAdapter& adapter, const Log& log) {
  const Json wanted = Json::object(lora_config_members(lora_config_of(config)));
  for (const auto& [key, value] : lora_config_members(adapter.config())) {
    if (key == "target_modules") continue;  // a preset and its expansion are hard to compare
    const std::string name = key == "r" ? "lora_r" : key;
    const std::string text = wanted.at(key).dump();
    for (const RunConfig::Origin& origin : config.origins) {
      const bool given = origin.key == name && !origin.origin.starts_with("default");
      if (!given || text == value.dump()) continue;
      log.warn(cat(name, ": ", text, " has no effect: the adapter that is continued has ",
                   value.dump()));
    }
  }
}

}  // namespace

Trainer::~Trainer() = default;

Trainer::Trainer(const RunConfig& config, Task task, bool planning, const Log& log)
    : config_(config),
      task_(task),
      log_(log),
      threads_(static_cast<int>(config.threads)),
      backend_(find_device(config.device, planning), planning),
      ctx_(make_context(planning)),
      memory_(ctx_),
      step_(task == Task::kTrain ? config.gradient_accumulation_steps : 1, ctx_, memory_),
      encoder_(read_encoder_config(config.model_name_or_path)),
      tokenizer_(Tokenizer::load(config.model_name_or_path)) {
  QE_CHECK(tokenizer_.mask_id(), config.model_name_or_path, ": the tokenizer has no mask token");
  ctx_.step = step_.device_state();
  if (!planning) {
    step_.values().seed = config.seed;
    if (ctx_.compute == DType::kF16) step_.values().loss_scale = kFirstLossScale;
    step_.upload_all(ctx_);
  }
  if (task == Task::kTrain && !planning) {
    QE_CHECK(!config.output_dir.empty(), "output_dir: not given");
    require_writable_folder(config.output_dir);
  }
  load_data();
  model_ = load_masked_lm(config.model_name_or_path, base_options(config), ctx_, memory_);
  load_adapter();
  if (task == Task::kTrain) {
    optimizer_ = std::make_unique<Optimizer>(OptimizerOptions{.name = config.optim,
                                                              .beta1 = config.adam_beta1,
                                                              .beta2 = config.adam_beta2,
                                                              .epsilon = config.adam_epsilon,
                                                              .weight_decay = config.weight_decay},
                                             *adapter_, memory_);
    loader_ = std::make_unique<DataLoader>(
        train_data_, collator(RandomPurpose::kMask),
        LoaderOptions{.batch_size = config.per_device_train_batch_size,
                      .gradient_accumulation_steps = config.gradient_accumulation_steps,
                      .order = order_of(config.train_sampling_strategy),
                      .drop_last = config.dataloader_drop_last,
                      .seed = static_cast<uint64_t>(
                          config.data_seed.value_or(static_cast<int64_t>(config.seed)))});
    schedule_ = make_schedule();
    triggers_ = Triggers(config, schedule_.total_steps, loader_->updates_per_epoch());
    best_ = BestMetric(config);
    learning_rate_.emplace(LrSchedule::Options{.name = config.lr_scheduler_type,
                                               .kwargs = config.lr_scheduler_kwargs,
                                               .learning_rate = config.learning_rate,
                                               .warmup = schedule_.warmup_steps,
                                               .total = schedule_.total_steps});
  }
  allocate_arena();
}

Context Trainer::make_context(bool planning) {
  Context ctx{.threads = &threads_, .arena = &arena_, .log = &log_, .planning = planning};
  const Device device = backend_.device();
  const DType compute = compute_type(config_.compute_dtype, device, backend_.limits());
  backend_.attach(ctx, compute);
  backend_.set_deterministic(config_.deterministic);
  const std::string& asked = config_.compute_dtype;
  if (device.kind == DeviceKind::kCpu && asked != "auto" && asked != "fp32") {
    log_.info(cat(asked, " does nothing here: the CPU computes in fp32"));
  }
  return ctx;
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
  TokenizeOptions options{.max_length = length,
                          .line_by_line = config_.line_by_line,
                          .wrap_pieces = config_.chunk_special_tokens == "chunks",
                          .needs_words = config_.whole_word_mask};
  const auto tokenize = [&](const std::vector<Record>& records, const std::string& name,
                            int64_t max_samples) {
    options.max_samples = max_samples;
    return tokenize_records(records, name, tokenizer_, encoder_.vocab_size, options, threads_,
                            log_);
  };
  const TextColumns columns{config_.text_column_name, config_.text_pair_column_name};
  const bool own_validation = !config_.validation_file.empty();
  const bool needs_training_rows = task_ == Task::kTrain || !own_validation;
  std::vector<Record> train_rows;
  std::vector<Record> eval_rows;
  if (needs_training_rows) {
    QE_CHECK(!config_.train_file.empty(),
             task_ == Task::kTrain ? "train_file: not given"
                                   : "validation_file: not given (nor train_file to split)");
    train_rows = read_all(config_.train_file, columns);
  }
  if (own_validation) {
    eval_rows = read_all(config_.validation_file, columns);
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
  const bool evaluates =
      task_ == Task::kEvaluate || config_.eval_strategy != "no" || config_.eval_on_start;
  if (evaluates) {
    eval_data_ = tokenize(eval_rows, own_validation ? config_.validation_file : config_.train_file,
                          config_.max_eval_samples);
  }
}

void Trainer::load_adapter() {
  const std::string& folder = config_.adapter_name_or_path;
  const bool training = task_ == Task::kTrain;
  if (!folder.empty()) {
    adapter_ =
        qe::load_adapter(folder, model_, config_.model_name_or_path, training, ctx_, memory_, log_);
    if (training) warn_of_ignored_settings(config_, *adapter_, log_);
  } else if (training) {
    AdapterConfig settings = lora_config_of(config_);
    settings.base_model_name_or_path = config_.model_name_or_path;
    adapter_ = make_adapter(settings, model_, true, ctx_, memory_);
    if (!memory_.planning()) adapter_->initialize(config_.seed);
  }
}

MlmCollator Trainer::collator(RandomPurpose purpose) const {
  uint8_t word_flag = 0;
  if (config_.whole_word_mask) word_flag = config_.wwm_compat ? kTouchesPrevious : kInsideWord;
  return MlmCollator(encoder_,
                     MaskOptions{.mlm_probability = config_.mlm_probability,
                                 .mask_replace_prob = config_.mask_replace_prob,
                                 .random_replace_prob = config_.random_replace_prob,
                                 .word_flag = word_flag,
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
      const ForwardPass pass{&tape, batch, adapter_.get(), training};
      masked_lm_loss(model_, pass, config_.gradient_checkpointing, &totals);
    });
    n_bytes = std::max(n_bytes, needed);
  };
  BatchCapacity capacity;
  const auto reserve = [&](int64_t n_sequences, int64_t n_tokens) {
    capacity.sequences = std::max(capacity.sequences, n_sequences);
    capacity.tokens = std::max(capacity.tokens, n_tokens);
    capacity.labels = capacity.tokens;
  };
  if (task_ == Task::kTrain) {
    const int64_t size = std::min(config_.per_device_train_batch_size, train_data_.size());
    train_capacity_ = size * train_data_.max_length();
    reserve(size, train_capacity_);
    plan(planning_batch(size, train_data_.max_length()), true);
  }
  if (eval_data_.size() > 0) {
    const int64_t size = std::min(config_.per_device_eval_batch_size, eval_data_.size());
    eval_capacity_ = size * eval_data_.max_length();
    reserve(size, eval_capacity_);
    plan(planning_batch(size, eval_data_.max_length()), false);
  }
  const int64_t n_micro = task_ == Task::kTrain ? config_.gradient_accumulation_steps : 1;
  batches_ = std::make_unique<BatchBuffer>(capacity, static_cast<int>(n_micro), ctx_, memory_);
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
  return schedule;
}

RunSummary Trainer::summary() const {
  RunSummary summary{.n_parameters = model_.n_parameters,
                     .stored_quantization = model_.stored_quantization,
                     .train_samples = train_data_.size(),
                     .train_tokens = train_data_.n_tokens(),
                     .eval_samples = eval_data_.size(),
                     .eval_tokens = eval_data_.n_tokens(),
                     .total_steps = schedule_.total_steps,
                     .max_length = std::max(train_data_.max_length(), eval_data_.max_length()),
                     .device = ctx_.device,
                     .backend = backend_name(ctx_.device),
                     .compute = ctx_.compute,
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
  DataLoader loader(eval_data_, collator(RandomPurpose::kEvalMask),
                    LoaderOptions{.batch_size = config_.per_device_eval_batch_size,
                                  .order = SampleOrder::kSequential});
  // Without fixed masks every evaluation draws new ones, as Hugging Face does.
  const uint32_t draw = config_.fixed_eval_masks ? 0 : static_cast<uint32_t>(step_.values().step);
  Tape tape(ctx_, false);
  PackedBatch batch;
  batch.token_capacity = eval_capacity_;
  batch.label_capacity = eval_capacity_;
  MlmTotals totals;
  double hf_sum = 0.0;
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
    loader.load_batch(draw, i, batch);
    step_.begin(ctx_);
    const ForwardPass pass{.tape = &tape,
                           .batch = batches_->bind(ctx_, batch),
                           .adapter = adapter_.get(),
                           .label_smoothing = static_cast<float>(config_.label_smoothing_factor)};
    masked_lm_loss(model_, pass, false, step_.totals(0));
    const MlmTotals of_batch = step_.fetch(ctx_)[0];
    totals.loss += of_batch.loss;
    totals.n_labels += of_batch.n_labels;
    totals.n_correct += of_batch.n_correct;
    const double n_labels = static_cast<double>(std::max<int64_t>(1, of_batch.n_labels));
    hf_sum += static_cast<double>(batch.n_sequences()) * of_batch.loss / n_labels;
  }
  const double n_labels = static_cast<double>(std::max<int64_t>(1, totals.n_labels));
  return EvalMetrics{.step = step_.values().step,
                     .epoch = epoch_of(step_.values().step),
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

}  // namespace qe
