// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/session.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "engine/model/device_memory.h"
#include "engine/model/expanded_weights.h"
#include "engine/model/new_head.h"
#include "kernels/ops/topk.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

// What sessions launch, over the model's first layers.
void warm_up(const EncoderConfig& encoder, const InferOptions& options, Context& ctx) {
  const EncoderConfig small = first_layers(encoder);
  Memory memory(ctx);
  const MaskedLm model = random_masked_lm(small, 1, options.base, ctx, memory);
  PackedBatch batch;
  const std::vector<int32_t> ids(static_cast<size_t>(small.max_length()), 0);
  batch.append(small, 0, ids, {}, std::vector<int32_t>{ids});
  batch.token_capacity = batch.label_capacity = batch.n_tokens();
  BatchBuffer buffer({batch.n_tokens(), 1, batch.n_labels()}, 1, ctx, memory);
  const Tensor logits =
      make_tensor(memory.allocate_array<float>("logits", batch.n_labels() * small.vocab_size),
                  batch.n_labels(), small.vocab_size, DType::kF32, ctx.device);
  const Tensor losses = make_tensor(memory.allocate_array<float>("losses", batch.n_labels()), 1,
                                    batch.n_labels(), DType::kF32, ctx.device);
  const TopK best{.logits = logits.row_range(0, 1),
                  .k = 1,
                  .ids = {memory.allocate_array<int32_t>("answers", 1), 1},
                  .probabilities = {memory.allocate_array<float>("answers", 1), 1}};
  const auto run = [&](Context& context, const BatchView& view) {
    Tape tape(context, false);
    masked_lm_logits(model, {.tape = &tape, .batch = view}, logits);
    masked_lm_loss(model, {.tape = &tape, .batch = view}, false, nullptr, losses);
  };
  const size_t n_bytes = planned_arena_bytes(ctx, [&](Context& planning) { run(planning, batch); });
  Arena arena(memory.allocate("activations, scratch", n_bytes), n_bytes);
  ctx.arena = &arena;
  run(ctx, buffer.bind(ctx, batch));
  topk(ctx, best);
  synchronize(ctx);
}

}  // namespace

InferSession::~InferSession() = default;

InferSession::Use InferSession::Use::together(std::vector<Use> uses) {
  QE_CHECK(!uses.empty(), "a session is for nothing");
  Use all{.short_text = uses.front().short_text};
  for (const Use& use : uses) {
    all.short_text = std::min(all.short_text, use.short_text);
    all.forwards.insert(all.forwards.end(), use.forwards.begin(), use.forwards.end());
  }
  all.labels = [uses](int64_t tokens, int64_t sequences) {
    int64_t most = 0;
    for (const Use& use : uses) most = std::max(most, use.labels(tokens, sequences));
    return most;
  };
  all.allocate = [uses](InferSession& session) {
    for (const Use& use : uses) {
      if (use.allocate) use.allocate(session);
    }
  };
  return all;
}

InferSession::InferSession(const InferOptions& options, const Use& use, const Log& log,
                           bool planning)
    : name_(options.model),
      log_(log),
      threads_(options.threads),
      backend_(find_device(options.device, planning), planning, options.stream),
      ctx_(make_context(options, planning)),
      memory_(ctx_),
      tokenizer_(Tokenizer::load(options.model)) {
  const bool limited = ctx_.device.kind == DeviceKind::kCuda || options.max_memory_MB > 0;
  if (limited && !planning) take_memory(options, use);
  model_ = load_base(options);
  if (!options.adapter.empty()) {
    adapter_ = load_adapter(options.adapter, model_, options.model, false, ctx_, memory_, log_);
  }
  expand_weights(model_, adapter_.get(), options.expanded_layers, ctx_, memory_);
  capacity_.tokens = model_.config.max_length() + options.batch_tokens;
  capacity_.sequences = 1 + options.batch_tokens / use.short_text;
  capacity_.labels = use.labels(capacity_.tokens, capacity_.sequences);
  batch_.token_capacity = capacity_.tokens;
  batch_.label_capacity = capacity_.labels;
  allocate_buffers(use, options.adapter_rank);
}

// The model's folder may lack the head that the adapter has.
MaskedLm InferSession::load_base(const InferOptions& options) {
  const EncoderConfig config = read_encoder_config(options.model);
  FolderTensors tensors(options.model, family_of(config.model_type));
  const bool adds_head = lacks_head(tensors, config) && !options.adapter.empty() &&
                         has_new_head(read_adapter_config(options.adapter), config);
  if (!adds_head) return load_masked_lm(tensors, config, options.base, ctx_, memory_);
  WithNewHead with_head(tensors, config, 0);  // the adapter's stands for it
  return load_masked_lm(with_head, config, options.base, ctx_, memory_);
}

Context InferSession::make_context(const InferOptions& options, bool planning) {
  Context ctx{.threads = &threads_, .arena = &arena_, .log = &log_, .planning = planning};
  const Device device = backend_.device();
  backend_.attach(ctx, compute_type(options.compute_dtype, device, backend_.limits()));
  return ctx;
}

// Plans the same over memory that counts, and takes a GPU's.
void InferSession::take_memory(const InferOptions& options, const Use& use) {
  const Device device = ctx_.device;
  const size_t overhead = measure_device_overhead(
      device, options.compute_dtype, threads_,
      [&](Context& ctx) { warm_up(read_encoder_config(options.model), options, ctx); });
  InferSession planned(options, use, Log(), true);
  if (device.kind == DeviceKind::kCuda) {
    memory_.account(kDeviceOverheadRow, overhead);
    planned.memory_.account(kDeviceOverheadRow, overhead);
  }
  const MemoryLimit limit = memory_limit(device, options.max_memory_MB, overhead, false);
  const std::vector<MemoryRow>& rows = planned.memory_.rows();
  const size_t needed = device_bytes(rows, device);
  if (limit.n_bytes > 0 && needed > limit.n_bytes) {
    throw OutOfMemory(cat("memory: ", options.model, " needs ", 1e-9 * static_cast<double>(needed),
                          " GB on ", device_name(device), ", more than the ",
                          1e-9 * static_cast<double>(limit.n_bytes), " GB of ", limit.what),
                      device, rows);
  }
  memory_.reserve(rows);
}

// A longest text, and beside it texts of `length`, the last one with what is left.
PackedBatch InferSession::full_batch(int64_t length) const {
  PackedBatch full;
  full.token_capacity = capacity_.tokens;
  full.label_capacity = capacity_.labels;
  const int64_t longest = model_.config.max_length();
  for (int64_t left = capacity_.tokens; left > 0; left = capacity_.tokens - full.n_tokens()) {
    const bool last = left < 2 * length && left <= longest;
    const int64_t next = full.n_sequences() == 0 ? longest : last ? left : length;
    std::vector<int32_t> labels(next, kNoLabel);
    std::fill_n(labels.begin(), std::min(next, capacity_.labels - full.n_labels()), 0);
    full.append(model_.config, 0, std::vector<int32_t>(next, 0), {}, labels);
  }
  return full;
}

ForwardPass InferSession::pass_over(Tape& tape, const BatchView& batch,
                                    std::span<const AdapterRows> rows) const {
  ForwardPass pass{.tape = &tape, .batch = batch};
  if (rows.size() == 1) {
    pass.adapter = rows.front().adapter;
  } else {
    pass.mixed = rows;
  }
  return pass;
}

size_t InferSession::arena_bytes(const PackedBatch& batch, const Use& use,
                                 std::span<const AdapterRows> rows) const {
  size_t n_bytes = 0;
  for (const Forward& forward : use.forwards) {
    n_bytes = std::max(n_bytes, planned_arena_bytes(ctx_, [&](Context& planning) {
                         Tape tape(planning, false);
                         forward(model_, pass_over(tape, batch, rows));
                       }));
  }
  return n_bytes;
}

// For the longest text and, in a batch, others beside it: as many short or long ones as there can
// be; with the session's adapter, and with such as may come, alone and mixed.
size_t InferSession::arena_bytes(const Use& use, int64_t adapter_rank) const {
  Context planning = ctx_;
  planning.planning = true;
  Memory counted(planning);
  std::unique_ptr<LoraAdapter> largest[2];  // LoRA, DoRA
  for (int i = 0; i < 2 && adapter_rank > 0; ++i) {
    const AdapterConfig config{.r = adapter_rank, .use_dora = i == 1, .all_linear = true};
    largest[i] = make_adapter(config, model_, false, planning, counted);
  }
  size_t n_bytes = 0;
  for (const int64_t length : {use.short_text, model_.config.max_length()}) {
    const PackedBatch batch = full_batch(length);
    const AdapterRows all{.end = batch.n_tokens(), .label_end = batch.n_labels()};
    const auto plan = [&](std::span<const AdapterRows> rows) {
      n_bytes = std::max(n_bytes, arena_bytes(batch, use, rows));
    };
    for (const LoraAdapter* adapter : {adapter_.get(), largest[0].get(), largest[1].get()}) {
      AdapterRows rows = all;
      rows.adapter = adapter;
      plan({&rows, 1});
    }
    if (adapter_rank == 0 || model_.distance_rows) continue;
    AdapterRows halves[] = {all, all};
    halves[0].adapter = halves[1].adapter = largest[0].get();
    halves[0].end = halves[1].begin = all.end / 2;
    halves[0].label_end = halves[1].label_begin = all.label_end / 2;
    plan(halves);
  }
  return n_bytes;
}

void InferSession::allocate_buffers(const Use& use, int64_t adapter_rank) {
  if (use.allocate) use.allocate(*this);
  buffer_ = std::make_unique<BatchBuffer>(capacity_, 1, ctx_, memory_);
  const size_t n_bytes = arena_bytes(use, adapter_rank);
  arena_ = Arena(memory_.allocate("activations, scratch", n_bytes), n_bytes);
  tape_ = std::make_unique<Tape>(ctx_, false);
}

EncodedText InferSession::encode(std::string_view text, bool truncate) const {
  Encoding encoding = tokenizer_.encode(text);
  if (encoding.n_replaced_bytes > 0) {
    log_.warn(cat(encoding.n_replaced_bytes, " invalid UTF-8 sequences were replaced by U+FFFD"));
  }
  const auto n_tokens = static_cast<int64_t>(encoding.ids.size());
  const int64_t longest = model_.config.max_length();
  if (n_tokens > longest && truncate) {
    encoding = tokenizer_.encode(text, {.max_length = longest});
  }
  const auto n_kept = static_cast<int64_t>(encoding.ids.size());
  QE_CHECK(n_kept <= longest, "the text has ", n_tokens, " tokens; the model has positions for ",
           longest);
  for (const int32_t id : encoding.ids) check_id(id);
  return {std::move(encoding.ids), std::move(encoding.special_tokens_mask),
          std::move(encoding.word_ids), n_tokens - n_kept};
}

void InferSession::check_id(int32_t id) const {
  QE_CHECK(id < model_.config.vocab_size, "the tokenizer gives id ", id, " (",
           Json(tokenizer_.token(id)).dump(), "), outside the model's vocabulary of ",
           model_.config.vocab_size);
}

bool InferSession::mixes(const LoraAdapter* adapter) const {
  return !model_.distance_rows && can_be_mixed(adapter ? adapter : adapter_.get());
}

bool InferSession::append(std::span<const int32_t> ids, std::span<const int32_t> labels,
                          const LoraAdapter* adapter) {
  if (!adapter) adapter = adapter_.get();
  const auto n_tokens = static_cast<int64_t>(ids.size());
  const int64_t n_labels = n_tokens - std::count(labels.begin(), labels.end(), kNoLabel);
  const bool same = !adapter_rows_.empty() && adapter_rows_.back().adapter == adapter;
  const bool fits = batch_.n_tokens() + n_tokens <= capacity_.tokens &&
                    batch_.n_labels() + n_labels <= capacity_.labels &&
                    batch_.n_sequences() < capacity_.sequences &&
                    (same || adapter_rows_.empty() ||
                     (adapter_rows_.size() < kMaxMixedAdapters &&
                      mixes(adapter_rows_.back().adapter) && mixes(adapter)));
  if (!fits) return false;
  if (!same) {
    adapter_rows_.push_back(
        {.adapter = adapter, .begin = batch_.n_tokens(), .label_begin = batch_.n_labels()});
  }
  batch_.append(model_.config, 0, ids, {}, labels);
  adapter_rows_.back().end = batch_.n_tokens();
  adapter_rows_.back().label_end = batch_.n_labels();
  return true;
}

void InferSession::discard() {
  batch_.clear();
  adapter_rows_.clear();
}

void InferSession::run(const Forward& forward) {
  try {
    const BatchView view = buffer_->bind(ctx_, batch_);
    forward(model_, pass_over(*tape_, view, adapter_rows_));
  } catch (...) {
    discard();
    tape_->clear();
    arena_.reset();
    throw;
  }
  discard();
}

}  // namespace qe
