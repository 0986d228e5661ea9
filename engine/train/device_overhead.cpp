// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/device_overhead.h"

#include <algorithm>

#include "engine/train/update.h"
#include "kernels/core/cuda.h"
#include "kernels/ops/backend.h"

namespace qe {
namespace {

// Layers that differ in what they launch: a middle one, and the last, which sees labelled rows
// only.
constexpr int64_t kLayers = 2;
constexpr int64_t kVocabulary = 4096;
constexpr int64_t kTokens = 4096;

EncoderConfig first_layers(EncoderConfig encoder) {
  encoder.n_layers = std::min(encoder.n_layers, kLayers);
  encoder.n_distinct_layers = std::min(encoder.n_distinct_layers, encoder.n_layers);
  encoder.vocab_size = std::min(encoder.vocab_size, kVocabulary);
  return encoder;
}

// The run's settings, but adapters everywhere: which layers have some does not matter.
RunConfig settings_of(const RunConfig& run, const RunShape& shape) {
  const auto few = [](int64_t n_sequences, int64_t length) {
    return std::min(n_sequences, std::max<int64_t>(kTokens / std::max<int64_t>(length, 1), 1));
  };
  RunConfig config = run;
  config.adapter_name_or_path.clear();
  config.target_modules = Json("all-linear");
  config.exclude_modules = config.layers_to_transform = config.layers_pattern = Json();
  config.rank_pattern = config.alpha_pattern = Json::object();
  config.resident_weights = Json(false);
  config.per_device_train_batch_size = few(run.per_device_train_batch_size, shape.train_length);
  config.per_device_eval_batch_size = few(run.per_device_eval_batch_size, shape.eval_length);
  config.gradient_accumulation_steps = 1;
  return config;
}

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
    const PackedBatch batch = largest_batch(small, shape.train_batch(config), shape.train_length);
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
    const PackedBatch batch = largest_batch(small, shape.eval_batch(config), shape.eval_length);
    Tape tape(ctx, false);
    parts.step.begin(ctx);
    masked_lm_loss(parts.model, {&tape, parts.batches->bind(ctx, batch), parts.adapter.get()},
                   false, parts.step.totals(0));
    parts.step.fetch(ctx);
  }
}

}  // namespace

size_t measure_device_overhead(const RunConfig& config, const RunShape& shape,
                               const EncoderConfig& encoder, Device device, ThreadPool& threads) {
  const Backend backend(device, false);  // its own: the run's chooses its algorithms itself
  Context ctx{.threads = &threads};
  backend.attach(ctx, compute_type(config.compute_dtype, device, backend.limits()));
  backend.set_deterministic(true);
  warm_up(config, shape, encoder, ctx);
  const cuda::DeviceInfo info = cuda::device_info(device.index);
  return info.total_bytes - info.free_bytes - cuda::allocated_bytes(device.index);
}

}  // namespace qe
