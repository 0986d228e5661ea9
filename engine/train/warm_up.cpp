// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/warm_up.h"

#include <algorithm>

#include "engine/train/update.h"

namespace qe {
namespace {

// An expression for the paths of what is trained in full: it has no adapters.
Json in_full(const std::vector<std::string>& modules_to_save) {
  std::string ends;
  for (const std::string& name : modules_to_save) {
    ends += ends.empty() ? "" : "|";
    for (const char c : name) ends += c == '.' ? "\\." : std::string(1, c);
  }
  return ends.empty() ? Json() : Json(".*(" + ends + ")(\\..*)?");
}

// The run's settings, but adapters everywhere: which layers have some does not matter.
RunConfig settings_of(const RunConfig& run, const RunShape& shape) {
  constexpr int64_t kTokens = 4096;
  const auto few = [](int64_t n_sequences, int64_t length) {
    return std::min(n_sequences, std::max<int64_t>(kTokens / std::max<int64_t>(length, 1), 1));
  };
  RunConfig config = run;
  config.adapter_name_or_path.clear();
  config.target_modules = Json("all-linear");
  config.layers_to_transform = config.layers_pattern = Json();
  config.exclude_modules = in_full(lora_config_of(run).modules_to_save);
  // The small model has few tokens.
  if (!run.trainable_token_indices.is_null())
    config.trainable_token_indices = Json::array({Json(int64_t{0})});
  config.rank_pattern = config.alpha_pattern = Json::object();
  config.resident_weights = Json(false);
  config.per_device_train_batch_size = few(run.per_device_train_batch_size, shape.train_length);
  config.per_device_train_batch_tokens =
      std::min(run.per_device_train_batch_tokens, std::max(kTokens, shape.train_length));
  config.per_device_eval_batch_size = few(run.per_device_eval_batch_size, shape.eval_length);
  config.gradient_accumulation_steps = 1;
  return config;
}

}  // namespace

void warm_up(const RunConfig& run, const RunShape& shape, const EncoderConfig& encoder,
             Context& ctx) {
  const RunConfig config = settings_of(run, shape);
  const EncoderConfig small = first_layers(encoder);
  RandomTensors weights("random weights", 1, ctx, false);
  Memory memory(ctx);
  TrainingParts parts(config, shape, small, weights, ctx, memory, Log());
  parts.step.values() = StepState{.seed = 1, .learning_rate = 1e-4f};
  parts.step.upload_all(ctx);
  if (shape.trains) {
    const PackedBatch batch = largest_batch(small, shape.train_batch(config));
    run_update({.model = parts.model,
                .adapter = *parts.adapter,
                .optimizer = *parts.optimizer,
                .tape = *parts.tape,
                .step = parts.step,
                .batches = *parts.batches,
                .checkpoint = config.gradient_checkpointing,
                .max_grad_norm = static_cast<float>(config.max_grad_norm),
                .label_smoothing = static_cast<float>(config.label_smoothing_factor),
                .noise_alpha = static_cast<float>(config.neftune_noise_alpha)},
               {&batch, 1});
  }
  if (shape.eval_samples > 0) {
    const PackedBatch batch = largest_batch(small, shape.eval_batch(config));
    Tape tape(ctx, false);
    parts.step.begin(ctx);
    masked_lm_loss(parts.model, {&tape, parts.batches->bind(ctx, batch), parts.adapter.get()},
                   false, parts.step.totals(0));
    parts.step.fetch(ctx);
  }
}

}  // namespace qe
