// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/training_parts.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "engine/model/expanded_weights.h"
#include "engine/model/new_head.h"
#include "engine/model/split_tensors.h"

namespace qe {

bool pages_states(const RunConfig& config) {
  const Json& setting = config.paged_states;
  return setting.kind() == Json::Kind::kBool ? setting.as_bool()
                                             : config.optim.starts_with("paged_");
}

namespace {

// The head that the folder lacks is trained and saved in full.
void add_new_head(AdapterConfig& settings, const EncoderConfig& encoder, const std::string& folder,
                  const Log& log) {
  std::string names;
  for (const std::string& module : modules_of_new_head(encoder)) {
    names += (names.empty() ? "" : ", ") + module;
    if (!is_saved_module(module, settings.modules_to_save)) {
      settings.modules_to_save.push_back(module);
    }
  }
  log.warn(cat(folder, " has no masked-LM head: a new one is trained and saved with the adapter (",
               names, ")"));
}

}  // namespace

TrainingParts::TrainingParts(const RunConfig& config, const RunShape& shape,
                             const EncoderConfig& encoder, TensorSource& weights, Context& ctx,
                             Memory& memory, const Log& log)
    : step(shape.trains ? config.gradient_accumulation_steps : 1, ctx, memory) {
  ctx.arena = &arena;
  ctx.step = step.device_state();
  load_model(config, shape, encoder, weights, ctx, memory, log);
  expand_weights(model, adapter.get(), n_expanded_layers(config), ctx, memory);
  if (shape.trains) {
    optimizer =
        std::make_unique<Optimizer>(OptimizerOptions{.name = config.optim,
                                                     .beta1 = config.adam_beta1,
                                                     .beta2 = config.adam_beta2,
                                                     .epsilon = config.adam_epsilon,
                                                     .weight_decay = config.weight_decay,
                                                     .loraplus_lr_ratio = config.loraplus_lr_ratio,
                                                     .paged = pages_states(config)},
                                    *adapter, memory);
    snapshot = std::make_unique<TrainingSnapshot>(*adapter, *optimizer, memory);
  }
  allocate_arena(config, shape, ctx, memory);
}

// The model and its adapter: a new one, or the one that is given.
void TrainingParts::load_model(const RunConfig& config, const RunShape& shape,
                               const EncoderConfig& encoder, TensorSource& weights,
                               const Context& ctx, Memory& memory, const Log& log) {
  const std::string& folder = config.adapter_name_or_path;
  const bool is_new = folder.empty() && shape.trains;
  const bool headless = lacks_head(weights, encoder);
  AdapterConfig settings;
  if (!folder.empty()) settings = read_adapter_config(folder);
  BaseOptions base = base_options(config);
  if (is_new) {
    settings = lora_config_of(config);
    settings.base_model_name_or_path = config.model_name_or_path;
    if (headless) add_new_head(settings, encoder, weights.name(), log);
    base.unquantized_modules = settings.modules_to_save;
  }
  WithNewHead with_head(weights, encoder, config.seed);
  const bool adds_head = headless && (is_new || has_new_head(settings, encoder));
  TensorSource* source = adds_head ? static_cast<TensorSource*>(&with_head) : &weights;
  std::unique_ptr<SplitTensors> split;
  if (is_new && reads_base(settings.init)) {
    AdapterConfig targets = settings;
    resolve_target_preset(targets, encoder);
    split = std::make_unique<SplitTensors>(*source, encoder, base, targets, config.seed, ctx);
    source = split.get();
  }
  model = load_masked_lm(*source, encoder, base, ctx, memory);
  if (!folder.empty()) {
    adapter =
        load_adapter(folder, model, config.model_name_or_path, shape.trains, ctx, memory, log);
  } else if (is_new) {
    adapter = make_adapter(settings, model, true, ctx, memory);
    if (memory.planning()) return;
    split ? adapter->initialize(config.seed, split->factors()) : adapter->initialize(config.seed);
  }
}

void TrainingParts::allocate_arena(const RunConfig& config, const RunShape& shape, Context& ctx,
                                   Memory& memory) {
  size_t n_bytes = 0;
  MlmTotals totals;
  BatchCapacity capacity;
  const auto plan = [&](const BatchShape& of_batch, bool training) {
    capacity.sequences = std::max(capacity.sequences, of_batch.sequences);
    capacity.tokens = std::max(capacity.tokens, of_batch.tokens);
    capacity.labels = capacity.tokens;
    const PackedBatch batch = largest_batch(model.config, of_batch);
    const size_t needed = planned_arena_bytes(ctx, [&](Context& planning) {
      Tape counted(planning, training);
      const ForwardPass pass{&counted, batch, adapter.get(), training};
      masked_lm_loss(model, pass, config.gradient_checkpointing, &totals);
    });
    n_bytes = std::max(n_bytes, needed);
    return of_batch.tokens;
  };
  if (shape.trains) {
    train_capacity = plan(shape.train_batch(config), true);
    n_bytes = std::max(
        n_bytes, planned_arena_bytes(ctx, [&](Context& planning) { adapter->refresh(planning); }));
  }
  if (shape.eval_samples > 0) {
    eval_capacity = plan(shape.eval_batch(config), false);
    if (!shape.trains) {
      label_losses = memory.allocate_array<float>("losses of labels", eval_capacity);
    }
  }
  const int64_t n_micro = shape.trains ? config.gradient_accumulation_steps : 1;
  batches = std::make_unique<BatchBuffer>(capacity, static_cast<int>(n_micro), ctx, memory);
  void* slab = memory.allocate("activations, gradients, scratch", n_bytes);
  arena = Arena(slab, n_bytes);
  tape = std::make_unique<Tape>(ctx, shape.trains);
}

BatchShape RunShape::train_batch(const RunConfig& config) const {
  const int64_t budget = config.per_device_train_batch_tokens;
  if (budget == 0) {
    const int64_t n = std::min(config.per_device_train_batch_size, train_samples);
    return {n, n * train_length, train_length};
  }
  const int64_t most = budget / std::max<int64_t>(train_min_length, 1);
  const int64_t n = std::min(most, train_samples);
  return {n, std::min(budget, n * train_length), train_length};
}

BatchShape RunShape::eval_batch(const RunConfig& config) const {
  const int64_t n = std::min(config.per_device_eval_batch_size, eval_samples);
  return {n, n * eval_length, eval_length};
}

PackedBatch largest_batch(const EncoderConfig& encoder, const BatchShape& shape) {
  PackedBatch batch;
  const std::vector<int32_t> ids(static_cast<size_t>(shape.length), 0);
  for (int64_t i = 0, left = shape.tokens; i < shape.sequences; ++i) {
    const int64_t length = left / (shape.sequences - i);  // all alike
    left -= length;
    const auto of_sequence = std::span(ids).first(static_cast<size_t>(length));
    batch.append(encoder, static_cast<uint32_t>(i), of_sequence, {}, of_sequence);
  }
  batch.max_length = shape.length;  // which sizes scratch
  batch.token_capacity = batch.n_tokens();
  batch.label_capacity = batch.n_tokens();
  return batch;
}

}  // namespace qe
