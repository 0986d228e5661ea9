// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/bench_model.h"

#include "engine/memory/planning.h"
#include "kernels/ops/topk.h"

namespace qe::tools {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kLabelPercent = 15;
constexpr int64_t kBest = 5;

}  // namespace

BenchModel::BenchModel(const EncoderConfig& config, BenchWork& work, int threads)
    : threads_(threads),
      step_{.seed = kSeed, .learning_rate = 1e-4f},
      ctx_{.threads = &threads_, .arena = &arena_, .step = &step_},
      training_(work.training),
      recompute_(work.recompute) {
  model_ = random_masked_lm(config, kSeed, BaseOptions{.bits = work.bits}, ctx_, memory_);
  if (work.lora_r > 0) {
    AdapterConfig adapter;
    adapter.r = work.lora_r;
    adapter.all_linear = true;
    adapter_ = std::make_unique<LoraAdapter>(adapter, model_.lora_sites(), model_.n_linears(),
                                             training_, memory_);
    adapter_->initialize(kSeed);
  }
  QE_CHECK(adapter_ || !training_, "training needs an adapter: lora_r above 0");
  make_batch(work);
  if (training_) {
    optimizer_ = std::make_unique<Optimizer>(OptimizerOptions{}, *adapter_, memory_);
  } else {
    const int64_t m = batch_.n_labels();
    logits_ = make_tensor(memory_.allocate_array<float>("logits", m * config.vocab_size), m,
                          config.vocab_size);
    best_ids_.resize(static_cast<size_t>(m * std::min(kBest, config.vocab_size)));
    best_scores_.resize(best_ids_.size());
  }
  const size_t n_bytes = planned_arena_bytes(ctx_, [&](Context& planning) {
    Tape tape(planning, training_);
    if (training_) {
      MlmTotals totals;
      masked_lm_loss(model_, {&tape, &batch_, adapter_.get(), true}, recompute_, &totals);
    } else {
      infer(tape);
    }
  });
  arena_ = Arena(memory_.allocate("activations, gradients, scratch", n_bytes), n_bytes);
  tape_ = std::make_unique<Tape>(ctx_, training_);
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

void BenchModel::infer(Tape& tape) {
  masked_lm_logits(model_, {&tape, &batch_, adapter_.get(), false}, logits_);
  topk(tape.context(), TopK{.logits = logits_,
                            .k = std::min(kBest, logits_.cols),
                            .ids = best_ids_,
                            .probabilities = best_scores_});
}

void BenchModel::step() {
  if (!training_) return infer(*tape_);
  last_loss_ = run_update({.model = model_,
                           .adapter = *adapter_,
                           .optimizer = *optimizer_,
                           .tape = *tape_,
                           .checkpoint = recompute_},
                          {&batch_, 1})
                   .loss;
  ++step_.step;
}

}  // namespace qe::tools
