// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/fill_mask.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "engine/model/device_memory.h"
#include "engine/model/expanded_weights.h"
#include "kernels/ops/topk.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

// Masks whose logits are held at once; a text with more runs again for the next ones.
constexpr int64_t kMasksAtOnce = 8;
// The same for batches, with the tokens that they hold beside a longest text, and the tokens per
// text that their memory is planned for: shorter ones leave some of it unused.
constexpr int64_t kMasksPerBatch = 64;
constexpr int64_t kTokensPerBatch = 1024;
constexpr int64_t kShortText = 8;
// Answers per mask that leave room for all masks of a batch at once.
constexpr int64_t kUsualTopK = 16;

// What fill-mask launches, over the model's first layers.
void warm_up(const EncoderConfig& encoder, const FillMaskOptions& options, Context& ctx) {
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
  const TopK best{.logits = logits.row_range(0, 1),
                  .k = 1,
                  .ids = {memory.allocate_array<int32_t>("answers", 1), 1},
                  .probabilities = {memory.allocate_array<float>("answers", 1), 1}};
  const size_t n_bytes = planned_arena_bytes(ctx, [&](Context& planning) {
    Tape tape(planning, false);
    masked_lm_logits(model, {.tape = &tape, .batch = batch}, logits);
  });
  Arena arena(memory.allocate("activations, scratch", n_bytes), n_bytes);
  ctx.arena = &arena;
  Tape tape(ctx, false);
  masked_lm_logits(model, {.tape = &tape, .batch = buffer.bind(ctx, batch)}, logits);
  topk(ctx, best);
  synchronize(ctx);
}

}  // namespace

FillMask::~FillMask() = default;

FillMask::FillMask(const FillMaskOptions& options, const Log& log, bool planning)
    : log_(log),
      threads_(options.threads),
      backend_(find_device(options.device, planning), planning),
      ctx_(make_context(options, planning)),
      memory_(ctx_),
      tokenizer_(Tokenizer::load(options.model)) {
  QE_CHECK(tokenizer_.mask_id(), options.model, ": the tokenizer has no mask token");
  const bool limited = ctx_.device.kind == DeviceKind::kCuda || options.max_memory_MB > 0;
  if (limited && !planning) take_memory(options);
  model_ = load_masked_lm(options.model, options.base, ctx_, memory_);
  if (!options.adapter.empty()) {
    adapter_ = load_adapter(options.adapter, model_, options.model, false, ctx_, memory_, log_);
  }
  expand_weights(model_, adapter_.get(), options.expanded_layers, ctx_, memory_);
  batch_.token_capacity = model_.config.max_length() + (options.batches ? kTokensPerBatch : 0);
  batch_.label_capacity = options.batches ? kMasksPerBatch : kMasksAtOnce;
  allocate_buffers();
}

Context FillMask::make_context(const FillMaskOptions& options, bool planning) {
  Context ctx{.threads = &threads_, .arena = &arena_, .log = &log_, .planning = planning};
  const Device device = backend_.device();
  backend_.attach(ctx, compute_type(options.compute_dtype, device, backend_.limits()));
  return ctx;
}

// Plans the same over memory that counts, and takes a GPU's.
void FillMask::take_memory(const FillMaskOptions& options) {
  const Device device = ctx_.device;
  const size_t overhead = measure_device_overhead(
      device, options.compute_dtype, threads_,
      [&](Context& ctx) { warm_up(read_encoder_config(options.model), options, ctx); });
  FillMask planned(options, Log(), true);
  if (device.kind == DeviceKind::kCuda) {
    memory_.account(kDeviceOverheadRow, overhead);
    planned.memory_.account(kDeviceOverheadRow, overhead);
  }
  const MemoryLimit limit = memory_limit(device, options.max_memory_MB, overhead, false);
  const size_t needed = device_bytes(planned.memory(), device);
  QE_CHECK(limit.n_bytes == 0 || needed <= limit.n_bytes, "memory: ", options.model, " needs ",
           1e-9 * static_cast<double>(needed), " GB on ", device_name(device), ", more than the ",
           1e-9 * static_cast<double>(limit.n_bytes), " GB of ", limit.what);
  memory_.reserve(planned.memory());
}

// For the longest text and, in a batch, many short ones beside it.
void FillMask::allocate_buffers() {
  const EncoderConfig& config = model_.config;
  logits_ = memory_.allocate_array<float>("logits", batch_.label_capacity * config.vocab_size);
  candidates_ = memory_.allocate_array<int32_t>("answers", config.vocab_size);
  n_answers_ = std::max(config.vocab_size, batch_.label_capacity * kUsualTopK);
  best_ids_ = memory_.allocate_array<int32_t>("answers", n_answers_);
  best_scores_ = memory_.allocate_array<float>("answers", n_answers_);
  const int64_t longest = config.max_length();
  const int64_t n_short = (batch_.token_capacity - longest) / kShortText;
  max_sequences_ = 1 + n_short;
  PackedBatch full;
  full.token_capacity = batch_.token_capacity;
  full.label_capacity = batch_.label_capacity;
  const auto append = [&](int64_t length) {
    std::vector<int32_t> labels(length, kNoLabel);
    std::fill_n(labels.begin(), std::min(length, batch_.label_capacity - full.n_labels()), 0);
    full.append(config, 0, std::vector<int32_t>(length, *tokenizer_.mask_id()), {}, labels);
  };
  append(longest);
  for (int64_t i = 0; i < n_short; ++i) append(kShortText);
  buffer_ = std::make_unique<BatchBuffer>(
      BatchCapacity{full.token_capacity, max_sequences_, full.label_capacity}, 1, ctx_, memory_);
  const size_t n_bytes = planned_arena_bytes(ctx_, [&](Context& planning) {
    Tape tape(planning, false);
    masked_lm_logits(
        model_, ForwardPass{&tape, full, adapter_.get(), false},
        make_tensor(logits_, full.n_labels(), config.vocab_size, DType::kF32, ctx_.device));
  });
  arena_ = Arena(memory_.allocate("activations, scratch", n_bytes), n_bytes);
  tape_ = std::make_unique<Tape>(ctx_, false);
}

void FillMask::check_id(int32_t id) const {
  QE_CHECK(id < model_.config.vocab_size, "the tokenizer gives id ", id, " (",
           Json(tokenizer_.token(id)).dump(), "), outside the model's vocabulary of ",
           model_.config.vocab_size);
}

std::vector<int32_t> FillMask::target_ids(const std::vector<std::string>& targets) const {
  std::vector<int32_t> ids;
  for (const std::string& target : targets) {
    std::optional<int32_t> id = tokenizer_.token_id(target);
    if (!id) {
      const Encoding pieces = tokenizer_.encode(target, {.add_special_tokens = false});
      if (pieces.ids.empty()) {
        log_.warn(cat("target \"", target, "\" has no token; ignored"));
        continue;
      }
      id = pieces.ids.front();
      log_.warn(cat("target \"", target, "\" is not in the vocabulary; using \"",
                    tokenizer_.token(*id), "\""));
    }
    check_id(*id);
    if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  }
  QE_CHECK(!ids.empty(), "targets: none of them is a token of this model");
  return ids;
}

std::vector<int64_t> FillMask::mask_positions(const std::vector<int32_t>& ids) const {
  std::vector<int64_t> positions;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == *tokenizer_.mask_id()) positions.push_back(static_cast<int64_t>(i));
  }
  return positions;
}

// Adds masks of a text to the batch; false when they do not fit beside what is there.
bool FillMask::append(const std::vector<int32_t>& ids, std::span<const int64_t> positions) {
  const int64_t n_tokens = static_cast<int64_t>(ids.size());
  const int64_t n_masks = static_cast<int64_t>(positions.size());
  if (batch_.n_tokens() + n_tokens > batch_.token_capacity ||
      batch_.n_labels() + n_masks > batch_.label_capacity ||
      batch_.n_sequences() == max_sequences_) {
    return false;
  }
  std::vector<int32_t> labels(ids.size(), kNoLabel);
  for (const int64_t position : positions) labels[position] = 0;
  batch_.append(model_.config, 0, ids, {}, labels);
  return true;
}

// Logits (masks, V) of the batch, which is empty afterwards.
Tensor FillMask::run() {
  const Tensor logits =
      make_tensor(logits_, batch_.n_labels(), model_.config.vocab_size, DType::kF32, ctx_.device);
  const BatchView view = buffer_->bind(ctx_, batch_);
  masked_lm_logits(model_, ForwardPass{tape_.get(), view, adapter_.get(), false}, logits);
  batch_.clear();
  return logits;
}

std::vector<std::vector<float>> FillMask::logits(const std::vector<int32_t>& ids) {
  std::vector<std::vector<float>> all;
  for (const int64_t position : mask_positions(ids)) {
    append(ids, {&position, 1});
    const Tensor row = run();
    all.emplace_back(row.cols);
    copy_bytes(ctx_, all.back().data(), row.data, all.back().size() * sizeof(float));
    synchronize(ctx_);
  }
  return all;
}

MaskedText FillMask::prepare(const std::string& text, int64_t top_k,
                             const std::vector<int32_t>& candidates) const {
  QE_CHECK(top_k > 0, "top_k: expected a positive number, got ", top_k);
  Encoding encoding = tokenizer_.encode(text);
  if (encoding.n_replaced_bytes > 0) {
    log_.warn(cat(encoding.n_replaced_bytes, " invalid UTF-8 sequences were replaced by U+FFFD"));
  }
  MaskedText out{.positions = mask_positions(encoding.ids), .candidates = candidates};
  QE_CHECK(!out.positions.empty(), "No mask_token (", tokenizer_.mask_token(),
           ") found on the input: \"", text.substr(0, 200), "\"");
  const int64_t n_tokens = static_cast<int64_t>(encoding.ids.size());
  QE_CHECK(n_tokens <= model_.config.max_length(), "the text has ", n_tokens,
           " tokens; the model has positions for ", model_.config.max_length());
  for (const int32_t id : encoding.ids) check_id(id);
  const int64_t n_choices =
      candidates.empty() ? model_.config.vocab_size : static_cast<int64_t>(candidates.size());
  out.top_k = std::min(top_k, n_choices);
  out.ids = std::move(encoding.ids);
  return out;
}

std::vector<MaskAnswers> FillMask::fill(std::span<const MaskedText> texts) {
  std::vector<MaskAnswers> answers(texts.size());
  std::vector<Part> parts;
  const size_t n_at_once = static_cast<size_t>(batch_.label_capacity);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::span<const int64_t> positions = texts[i].positions;
    for (size_t begin = 0; begin < positions.size(); begin += n_at_once) {
      const auto some = positions.subspan(begin, std::min(n_at_once, positions.size() - begin));
      if (!append(texts[i].ids, some)) {
        answer(parts);
        parts.clear();
        append(texts[i].ids, some);
      }
      parts.push_back({&texts[i], &answers[i], some});
    }
  }
  if (!parts.empty()) answer(parts);
  return answers;
}

// Runs the batch that these parts make up.
void FillMask::answer(std::span<const Part> parts) {
  const Tensor logits = run();
  int64_t row = 0;
  for (const Part& part : parts) {
    const int64_t n = static_cast<int64_t>(part.positions.size());
    answer(part, logits.row_range(row, n));
    row += n;
  }
}

void FillMask::answer(const Part& part, const Tensor& logits) {
  const MaskedText& text = *part.text;
  const size_t k = static_cast<size_t>(text.top_k);
  std::vector<int32_t> ids(part.positions.size() * k);
  std::vector<float> scores(ids.size());
  const std::span<int32_t> candidates(candidates_, text.candidates.size());
  copy_bytes(ctx_, candidates.data(), text.candidates.data(), candidates.size_bytes());
  const int64_t at_once = n_answers_ / text.top_k;
  for (int64_t begin = 0; begin < logits.rows; begin += at_once) {
    const int64_t n = std::min(at_once, logits.rows - begin);
    const size_t n_best = static_cast<size_t>(n) * k;
    topk(ctx_, TopK{.logits = logits.row_range(begin, n),
                    .candidates = candidates,
                    .k = text.top_k,
                    .ids = {best_ids_, n_best},
                    .probabilities = {best_scores_, n_best}});
    const size_t at = static_cast<size_t>(begin) * k;
    copy_bytes(ctx_, ids.data() + at, best_ids_, n_best * sizeof(int32_t));
    copy_bytes(ctx_, scores.data() + at, best_scores_, n_best * sizeof(float));
  }
  synchronize(ctx_);
  for (size_t m = 0; m < part.positions.size(); ++m) {
    std::vector<MaskAnswer> best;
    for (size_t i = m * k; i < (m + 1) * k; ++i) {
      std::vector<int32_t> filled = text.ids;
      filled[part.positions[m]] = ids[i];
      if (tokenizer_.pad_id()) std::erase(filled, *tokenizer_.pad_id());
      best.push_back({scores[i], ids[i], tokenizer_.decode({ids[i]}, false),
                      tokenizer_.decode(filled, text.positions.size() == 1)});
    }
    part.answers->push_back(std::move(best));
  }
}

}  // namespace qe
