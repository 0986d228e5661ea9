// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/training_parts.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "engine/model/expanded_weights.h"

namespace qe {

bool pages_states(const RunConfig& config) {
  const Json& setting = config.paged_states;
  return setting.kind() == Json::Kind::kBool ? setting.as_bool()
                                             : config.optim.starts_with("paged_");
}

TrainingParts::TrainingParts(const RunConfig& config, const RunShape& shape,
                             const EncoderConfig& encoder, TensorSource& weights, Context& ctx,
                             Memory& memory, const Log& log)
    : step(shape.trains ? config.gradient_accumulation_steps : 1, ctx, memory) {
  ctx.arena = &arena;
  ctx.step = step.device_state();
  model = load_masked_lm(weights, encoder, base_options(config), ctx, memory);
  make_adapter_of(config, shape, ctx, memory, log);
  expand_weights(model, adapter.get(), n_expanded_layers(config), ctx, memory);
  if (shape.trains) {
    optimizer = std::make_unique<Optimizer>(OptimizerOptions{.name = config.optim,
                                                             .beta1 = config.adam_beta1,
                                                             .beta2 = config.adam_beta2,
                                                             .epsilon = config.adam_epsilon,
                                                             .weight_decay = config.weight_decay,
                                                             .paged = pages_states(config)},
                                            *adapter, memory);
    snapshot = std::make_unique<TrainingSnapshot>(*adapter, *optimizer, memory);
  }
  allocate_arena(config, shape, ctx, memory);
}

void TrainingParts::make_adapter_of(const RunConfig& config, const RunShape& shape,
                                    const Context& ctx, Memory& memory, const Log& log) {
  const std::string& folder = config.adapter_name_or_path;
  if (!folder.empty()) {
    adapter =
        load_adapter(folder, model, config.model_name_or_path, shape.trains, ctx, memory, log);
  } else if (shape.trains) {
    AdapterConfig settings = lora_config_of(config);
    settings.base_model_name_or_path = config.model_name_or_path;
    adapter = make_adapter(settings, model, true, ctx, memory);
    if (!memory.planning()) adapter->initialize(config.seed);
  }
}

void TrainingParts::allocate_arena(const RunConfig& config, const RunShape& shape, Context& ctx,
                                   Memory& memory) {
  size_t n_bytes = 0;
  MlmTotals totals;
  BatchCapacity capacity;
  const auto plan = [&](int64_t n_sequences, int64_t length, bool training) {
    capacity.sequences = std::max(capacity.sequences, n_sequences);
    capacity.tokens = std::max(capacity.tokens, n_sequences * length);
    capacity.labels = capacity.tokens;
    const PackedBatch batch = largest_batch(model.config, n_sequences, length);
    const size_t needed = planned_arena_bytes(ctx, [&](Context& planning) {
      Tape counted(planning, training);
      const ForwardPass pass{&counted, batch, adapter.get(), training};
      masked_lm_loss(model, pass, config.gradient_checkpointing, &totals);
    });
    n_bytes = std::max(n_bytes, needed);
    return n_sequences * length;
  };
  if (shape.trains) {
    train_capacity = plan(shape.train_batch(config), shape.train_length, true);
    n_bytes = std::max(
        n_bytes, planned_arena_bytes(ctx, [&](Context& planning) { adapter->refresh(planning); }));
  }
  if (shape.eval_samples > 0) {
    eval_capacity = plan(shape.eval_batch(config), shape.eval_length, false);
  }
  const int64_t n_micro = shape.trains ? config.gradient_accumulation_steps : 1;
  batches = std::make_unique<BatchBuffer>(capacity, static_cast<int>(n_micro), ctx, memory);
  void* slab = memory.allocate("activations, gradients, scratch", n_bytes);
  arena = Arena(slab, n_bytes);
  tape = std::make_unique<Tape>(ctx, shape.trains);
}

PackedBatch largest_batch(const EncoderConfig& encoder, int64_t n_sequences, int64_t length) {
  PackedBatch batch;
  const std::vector<int32_t> ids(static_cast<size_t>(length), 0);
  for (int64_t i = 0; i < n_sequences; ++i) {
    batch.append(encoder, static_cast<uint32_t>(i), ids, {}, ids);
  }
  batch.token_capacity = batch.n_tokens();
  batch.label_capacity = batch.n_tokens();
  return batch;
}

}  // namespace qe
