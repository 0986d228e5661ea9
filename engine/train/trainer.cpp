// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/train/training_data.h"
#include "engine/train/update.h"
#include "engine/train/warm_up.h"
#include "formats/atomic_write.h"
#include "kernels/ops/backend.h"
#include "kernels/ops/transfer.h"

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
    const Json* const given_value = wanted.find(key);
    const std::string text = given_value ? given_value->dump() : "null";
    for (const RunConfig::Origin& origin : config.origins) {
      const bool given = origin.key == name && !origin.origin.starts_with("default");
      if (!given || text == value.dump()) continue;
      log.warn(cat(name, ": ", text, " has no effect: the adapter that is continued has ",
                   value.dump()));
    }
  }
}

// The losses of a batch's labels, summed by sequence.
void append_losses(Context& ctx, const PackedBatch& batch, const Tensor& rows,
                   SequenceLosses& losses) {
  std::vector<float> values(batch.labels.size());
  if (rows) copy_bytes(ctx, values.data(), rows.data, values.size() * sizeof(float));
  synchronize(ctx);
  size_t label = 0;
  for (size_t i = 0; i < batch.sample_ids.size(); ++i) {
    double loss = 0.0;
    const size_t first = label;
    for (; label < values.size() && batch.label_rows[label] < batch.cu_seqlens[i + 1]; ++label) {
      loss += values[label];
    }
    losses.losses.push_back(loss);
    losses.n_labels.push_back(static_cast<int64_t>(label - first));
  }
}

}  // namespace

Trainer::~Trainer() = default;

Trainer::Trainer(const RunConfig& config, Task task, bool planning, const Log& log, StopToken stop,
                 std::span<const TokenDataset> eval_sets)
    : config_(config),
      task_(task),
      log_(log),
      threads_(static_cast<int>(config.threads)),
      backend_(find_device(config.device, planning), planning),
      ctx_(make_context(planning)),
      memory_(ctx_),
      encoder_(read_encoder_config(config.model_name_or_path)),
      tokenizer_(Tokenizer::load(config.model_name_or_path)),
      eval_sets_(eval_sets) {
  QE_CHECK(tokenizer_.mask_id(), config.model_name_or_path, ": the tokenizer has no mask token");
  if (task == Task::kTrain && !planning) {
    QE_CHECK(!config.output_dir.empty(), "output_dir: not given");
    require_writable_folder(config.output_dir);
  }
  if (trains()) resumed_folder_ = resumed_folder(config, log_);
  if (eval_sets_.empty()) load_data(stop);
  FolderTensors weights(config.model_name_or_path, family_of(encoder_.model_type));
  fit_memory(weights);
  parts_ =
      std::make_unique<TrainingParts>(config_, shape(), encoder_, weights, ctx_, memory_, log_);
  throw_if_stopped(stop);
  if (!planning) {
    StepState& values = parts_->step.values();
    values.seed = config.seed;
    if (ctx_.compute == DType::kF16) values.loss_scale = kFirstLossScale;
    parts_->step.upload_all(ctx_);
  }
  if (trains()) prepare_training();
}

void Trainer::prepare_training() {
  if (!config_.adapter_name_or_path.empty()) {
    warn_of_ignored_settings(config_, *parts_->adapter, log_);
  }
  loader_ = std::make_unique<DataLoader>(
      train_data_, collator(RandomPurpose::kMask),
      LoaderOptions{.batch_size = config_.per_device_train_batch_size,
                    .batch_tokens = config_.per_device_train_batch_tokens,
                    .gradient_accumulation_steps = config_.gradient_accumulation_steps,
                    .order = order_of(config_.train_sampling_strategy),
                    .drop_last = config_.dataloader_drop_last,
                    .seed = static_cast<uint64_t>(
                        config_.data_seed.value_or(static_cast<int64_t>(config_.seed))),
                    .n_epochs = config_.num_train_epochs,
                    .n_updates = config_.max_steps});
  schedule_ = make_schedule();
  if (config_.mlm_probability_end) {
    mask_rate_.emplace(MaskRate::Options{.begin = config_.mlm_probability,
                                         .end = *config_.mlm_probability_end,
                                         .cosine = config_.mlm_probability_schedule == "cosine",
                                         .total = schedule_.total_steps});
    loader_->set_mask_rate(*mask_rate_);
  }
  triggers_ = Triggers(config_, schedule_.total_steps);
  best_ = BestMetric(config_);
  learning_rate_.emplace(LrSchedule::Options{.name = config_.lr_scheduler_type,
                                             .kwargs = config_.lr_scheduler_kwargs,
                                             .learning_rate = config_.learning_rate,
                                             .warmup = schedule_.warmup_steps,
                                             .total = schedule_.total_steps});
}

RunShape Trainer::shape() const {
  RunShape shape{.trains = trains(),
                 .train_samples = train_data_.size(),
                 .train_length = train_data_.max_length(),
                 .train_min_length = train_data_.min_length()};
  for (const TokenDataset& set : eval_sets_) {
    shape.eval_samples = std::max(shape.eval_samples, set.size());
    shape.eval_length = std::max(shape.eval_length, set.max_length());
  }
  return shape;
}

// Makes the choices that the settings leave open, and takes the GPU's memory.
void Trainer::fit_memory(TensorSource& weights) {
  const bool on_gpu = ctx_.device.kind == DeviceKind::kCuda;
  const size_t overhead =
      measure_device_overhead(ctx_.device, config_.compute_dtype, threads_,
                              [&](Context& ctx) { warm_up(config_, shape(), encoder_, ctx); });
  if (on_gpu) memory_.account(kDeviceOverheadRow, overhead);
  keep_choices_of_checkpoint();
  const MemoryLimit limit =
      memory_limit(ctx_.device, config_.max_memory_MB, overhead, memory_.planning());
  const CountRows count = [&](const RunConfig& config) {
    Context ctx = ctx_;
    ctx.planning = true;
    Memory counting(ctx);
    if (on_gpu) counting.account(kDeviceOverheadRow, overhead);
    const TrainingParts counted(config, shape(), encoder_, weights, ctx, counting, Log());
    return counting.rows();
  };
  MemoryPlan plan = plan_memory(config_, shape(), encoder_, ctx_.device, limit, count);
  config_ = std::move(plan.config);
  for (const std::string& note : plan.notes) log_.info(note);
  memory_.reserve(plan.rows);
}

// The batch of a run that is resumed stays what it was, also where it was chosen to fit another
// GPU: sums over micro-batches have its bits.
void Trainer::keep_choices_of_checkpoint() {
  constexpr const char* kBatch = "per_device_train_batch_size";
  constexpr const char* kAccumulation = "gradient_accumulation_steps";
  const std::string& folder = resumed_folder_;
  if (folder.empty() || config_.per_device_train_batch_tokens > 0 || !is_open(config_, kBatch) ||
      !is_open(config_, kAccumulation)) {
    return;
  }
  const Json arguments = Json::parse_file(folder + "/training_args.json");
  const Json *batch = arguments.find(kBatch), *accumulation = arguments.find(kAccumulation);
  if (!batch || batch->is_null() || !accumulation ||
      batch->as_int() == config_.per_device_train_batch_size ||
      batch->as_int() * accumulation->as_int() !=
          config_.per_device_train_batch_size * config_.gradient_accumulation_steps) {
    return;
  }
  choose_setting(config_, kBatch, *batch, folder);
  choose_setting(config_, kAccumulation, *accumulation, folder);
}

Context Trainer::make_context(bool planning) {
  Context ctx{.threads = &threads_, .log = &log_, .planning = planning};
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

void Trainer::load_data(StopToken stop) {
  TrainingData data =
      load_training_data(config_, trains(), task_ != Task::kTrain || memory_.planning(), encoder_,
                         tokenizer_, threads_, log_, stop);
  train_data_ = std::move(data.train);
  eval_data_ = std::move(data.evaluation);
  eval_sets_ = {&eval_data_, 1};
}

MlmCollator Trainer::collator(RandomPurpose purpose) const {
  const MaskUnit unit = config_.span_mask         ? MaskUnit::kSpan
                        : config_.whole_word_mask ? MaskUnit::kWord
                                                  : MaskUnit::kToken;
  return MlmCollator(encoder_,
                     MaskOptions{.mlm_probability = config_.mlm_probability,
                                 .mask_replace_prob = config_.mask_replace_prob,
                                 .random_replace_prob = config_.random_replace_prob,
                                 .unit = unit,
                                 .word_flag = config_.wwm_compat ? kTouchesPrevious : kInsideWord,
                                 .span_geometric_p = config_.span_geometric_p,
                                 .span_max_words = config_.span_max_words,
                                 .mask_id = *tokenizer_.mask_id(),
                                 .n_random_ids = std::min(tokenizer_.size(), encoder_.vocab_size)},
                     philox_key(config_.seed, purpose));
}

Trainer::Schedule Trainer::make_schedule() const {
  Schedule schedule;
  schedule.total_steps = config_.max_steps > 0
                             ? config_.max_steps
                             : loader_->epochs().updates_of(config_.num_train_epochs);
  const int64_t total = schedule.total_steps;
  schedule.warmup_steps = config_.warmup_steps > 0
                              ? steps_of(config_.warmup_steps, total)
                              : steps_of(std::min(config_.warmup_ratio, 0.9999999), total);
  return schedule;
}

RunSummary Trainer::summary() const {
  RunSummary summary{.n_parameters = parts_->model.n_parameters,
                     .stored_quantization = parts_->model.stored_quantization,
                     .train_samples = train_data_.size(),
                     .train_tokens = train_data_.n_tokens(),
                     .eval_samples = eval_data_.size(),
                     .eval_tokens = eval_data_.n_tokens(),
                     .total_steps = schedule_.total_steps,
                     .max_length = std::max(train_data_.max_length(), eval_data_.max_length()),
                     .device = ctx_.device,
                     .backend = is_absent(ctx_.device) ? "which is not here: planned as an H100"
                                                       : backend_name(ctx_.device),
                     .compute = ctx_.compute,
                     .threads = threads_.n_threads()};
  if (parts_->adapter) {
    summary.n_trainable = parts_->adapter->n_parameters();
    summary.n_lora_modules = static_cast<int64_t>(parts_->adapter->pairs().size());
  }
  if (loader_) summary.updates_per_epoch = loader_->epochs().updates(0);
  return summary;
}

EvalMetrics Trainer::evaluate_on(const TokenDataset& data, StopToken stop, SequenceLosses* losses,
                                 int64_t max_batches) {
  QE_CHECK(!memory_.planning(), "a planned run cannot evaluate");
  const Clock::time_point start = Clock::now();
  DataLoader loader(data, collator(RandomPurpose::kEvalMask),
                    LoaderOptions{.batch_size = config_.per_device_eval_batch_size,
                                  .order = SampleOrder::kSequential});
  // Without fixed masks every evaluation draws new ones, as Hugging Face does.
  const uint32_t draw =
      config_.fixed_eval_masks ? 0 : static_cast<uint32_t>(parts_->step.values().step);
  Tape tape(ctx_, false);
  Background<PackedBatch> batches(2, [&](const auto& give) {
    PackedBatch batch;
    for (int64_t i = 0; i < std::min(loader.epochs().batches(0), max_batches); ++i) {
      loader.load_batch(draw, i, batch);
      batch.token_capacity = parts_->eval_capacity;
      batch.label_capacity = parts_->eval_capacity;
      if (!give(batch)) return;
    }
  });
  MlmTotals totals;
  double hf_sum = 0.0;
  for (PackedBatch batch; batches.next(batch);) {
    throw_if_stopped(stop);
    parts_->step.begin(ctx_);
    const ForwardPass pass{.tape = &tape,
                           .batch = parts_->batches->bind(ctx_, batch),
                           .adapter = parts_->adapter.get(),
                           .label_smoothing = static_cast<float>(config_.label_smoothing_factor)};
    const bool wants_rows = losses != nullptr && batch.n_labels() > 0;
    const Tensor rows = wants_rows ? make_tensor(parts_->label_losses, 1, batch.n_labels(),
                                                 DType::kF32, ctx_.device)
                                   : Tensor{};
    masked_lm_loss(parts_->model, pass, false, parts_->step.totals(0), rows);
    const MlmTotals of_batch = parts_->step.fetch(ctx_)[0];
    if (losses != nullptr) append_losses(ctx_, batch, rows, *losses);
    totals.loss += of_batch.loss;
    totals.n_labels += of_batch.n_labels;
    totals.n_correct += of_batch.n_correct;
    const double n_labels = static_cast<double>(std::max<int64_t>(1, of_batch.n_labels));
    hf_sum += static_cast<double>(batch.n_sequences()) * of_batch.loss / n_labels;
  }
  const double n_labels = static_cast<double>(std::max<int64_t>(1, totals.n_labels));
  return EvalMetrics{.step = parts_->step.values().step,
                     .epoch = epoch_of(parts_->step.values().step),
                     .loss = totals.loss / n_labels,
                     .loss_hf = hf_sum / static_cast<double>(data.size()),
                     .accuracy = static_cast<double>(totals.n_correct) / n_labels,
                     .n_labels = totals.n_labels,
                     .n_tokens = data.n_tokens(),
                     .n_samples = data.size(),
                     .seconds = seconds_since(start)};
}

double Trainer::epoch_of(int64_t step) const {
  return loader_ ? loader_->epochs().epochs_of(step) : 0.0;
}

}  // namespace qe
