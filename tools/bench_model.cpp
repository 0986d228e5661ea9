// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/bench_model.h"

#include "engine/memory/planning.h"
#include "engine/model/expanded_weights.h"
#include "engine/train/warm_up.h"
#include "kernels/ops/topk.h"
#include "kernels/ops/transfer.h"

namespace qe::tools {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kLabelPercent = 15;
constexpr int64_t kBest = 5;

}  // namespace

Context BenchModel::make_context(const std::string& type, bool planning) {
  Context ctx{.threads = &threads_, .arena = &arena_, .planning = planning};
  backend_.attach(ctx, compute_type(type, backend_.device(), backend_.limits()));
  return ctx;
}

BenchModel::BenchModel(const EncoderConfig& config, BenchWork& work, const Options& options,
                       bool planning)
    : threads_(options.threads),
      backend_(find_device(options.device, planning), planning),
      ctx_(make_context(options.compute_dtype, planning)),
      memory_(ctx_),
      training_(work.training),
      recompute_(work.recompute) {
  if (!planning && ctx_.device.kind == DeviceKind::kCuda) take_memory(config, work, options);
  step_.emplace(1, ctx_, memory_);
  ctx_.step = step_->device_state();
  if (!planning) {
    step_->values() = StepState{.seed = kSeed, .learning_rate = 1e-4f};
    step_->upload_all(ctx_);
  }
  model_ = random_masked_lm(config, kSeed, BaseOptions{.bits = work.bits}, ctx_, memory_);
  if (work.lora_r > 0) {
    AdapterConfig adapter;
    adapter.r = work.lora_r;
    adapter.all_linear = true;
    adapter_ =
        std::make_unique<LoraAdapter>(adapter, model_.adapted_base(), training_, ctx_, memory_);
    if (!planning) adapter_->initialize(kSeed);
  }
  if (options.resident_weights) expand_weights(model_, adapter_.get(), kAllLayers, ctx_, memory_);
  QE_CHECK(adapter_ || !training_, "training needs an adapter: lora_r above 0");
  make_batch(work);
  if (training_) {
    optimizer_ =
        std::make_unique<Optimizer>(OptimizerOptions{.name = options.optim}, *adapter_, memory_);
  } else {
    const int64_t m = batch_.n_labels();
    logits_ = make_tensor(memory_.allocate_array<float>("logits", m * config.vocab_size), m,
                          config.vocab_size, DType::kF32, ctx_.device);
    const int64_t n_best = m * std::min(kBest, config.vocab_size);
    best_ids_ = {memory_.allocate_array<int32_t>("answers", n_best), static_cast<size_t>(n_best)};
    best_scores_ = {memory_.allocate_array<float>("answers", n_best), static_cast<size_t>(n_best)};
  }
  const size_t n_bytes = planned_arena_bytes(ctx_, [&](Context& planning) {
    Tape tape(planning, training_);
    if (training_) {
      masked_lm_loss(model_, {&tape, batch_, adapter_.get(), true}, recompute_, step_->totals(0));
    } else {
      infer(tape, batch_);
    }
  });
  buffer_ = std::make_unique<BatchBuffer>(
      BatchCapacity{batch_.n_tokens(), batch_.n_sequences(), batch_.n_labels()}, 1, ctx_, memory_);
  arena_ = Arena(memory_.allocate("activations, gradients, scratch", n_bytes), n_bytes);
  tape_ = std::make_unique<Tape>(ctx_, training_);
}

// As Trainer does: what CUDA takes for itself, then all that a plan of this asks for.
void BenchModel::take_memory(const EncoderConfig& config, BenchWork& work, const Options& options) {
  RunConfig run;
  run.bits = work.bits;
  run.lora_r = std::max<int64_t>(work.lora_r, 1);
  run.optim = options.optim;
  run.compute_dtype = options.compute_dtype;
  run.gradient_checkpointing = work.recompute;
  run.per_device_train_batch_size = run.per_device_eval_batch_size = work.sequences;
  RunShape shape{.trains = work.training};
  (work.training ? shape.train_samples : shape.eval_samples) = work.sequences;
  (work.training ? shape.train_length : shape.eval_length) = work.length;
  memory_.account(kDeviceOverheadRow,
                  measure_device_overhead(ctx_.device, options.compute_dtype, threads_,
                                          [&](Context& ctx) { warm_up(run, shape, config, ctx); }));
  BenchModel planned(config, work, options, true);
  planned.memory_.account(kDeviceOverheadRow, memory_.rows().front().n_bytes);
  memory_.reserve(planned.memory());
}

void BenchModel::make_batch(BenchWork& work) {
  const EncoderConfig& config = model_.config;
  std::vector<int32_t> ids(static_cast<size_t>(work.length));
  std::vector<int32_t> labels(ids.size());
  int64_t token = 0;
  for (int64_t b = 0; b < work.sequences; ++b) {
    for (int64_t i = 0; i < work.length; ++i, ++token) {
      // A multiplier without common factors with any vocabulary spreads the rows that are read.
      ids[i] = static_cast<int32_t>((token * 40503 + 17) % config.vocab_size);
      const bool labelled = training_
                                ? (token + 1) * kLabelPercent / 100 > token * kLabelPercent / 100
                                : i == work.length / 2;
      labels[i] = labelled ? ids[i] : kNoLabel;
    }
    batch_.append(config, static_cast<uint32_t>(b), ids, {}, labels);
  }
  work.n_labels = batch_.n_labels();
  batch_.token_capacity = batch_.n_tokens();
  batch_.label_capacity = batch_.n_labels();
}

void BenchModel::infer(Tape& tape, const BatchView& batch) {
  masked_lm_logits(model_, {&tape, batch, adapter_.get(), false}, logits_);
  topk(tape.context(), TopK{.logits = logits_,
                            .k = std::min(kBest, logits_.cols),
                            .ids = best_ids_,
                            .probabilities = best_scores_});
}

void BenchModel::step() {
  if (!training_) {
    infer(*tape_, buffer_->bind(ctx_, batch_));
    synchronize(ctx_);
    return;
  }
  last_loss_ = run_update({.model = model_,
                           .adapter = *adapter_,
                           .optimizer = *optimizer_,
                           .tape = *tape_,
                           .step = *step_,
                           .batches = *buffer_,
                           .checkpoint = recompute_},
                          {&batch_, 1})
                   .loss;
  ++step_->values().step;
}

}  // namespace qe::tools
