// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/fill_mask.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "kernels/ops/topk.h"

namespace qe {
namespace {

// Masks whose logits are held at once; a text with more runs again for the next ones.
constexpr int64_t kMasksAtOnce = 8;
// The same for batches, with the tokens that they hold beside a longest text, and the tokens per
// text that their memory is planned for: shorter ones leave some of it unused.
constexpr int64_t kMasksPerBatch = 64;
constexpr int64_t kTokensPerBatch = 1024;
constexpr int64_t kShortText = 8;

}  // namespace

FillMask::~FillMask() = default;

FillMask::FillMask(const FillMaskOptions& options, const Log& log)
    : log_(log),
      threads_(options.threads),
      memory_(false),
      tokenizer_(Tokenizer::load(options.model)) {
  QE_CHECK(tokenizer_.mask_id(), options.model, ": the tokenizer has no mask token");
  ctx_ = Context{.threads = &threads_, .arena = &arena_, .step = &step_, .log = &log_};
  model_ = load_masked_lm(options.model, options.base, ctx_, memory_);
  if (!options.adapter.empty()) {
    adapter_ = load_adapter(options.adapter, model_, options.model, false, memory_, log_);
  }
  batch_.token_capacity = model_.config.max_length() + (options.batches ? kTokensPerBatch : 0);
  batch_.label_capacity = options.batches ? kMasksPerBatch : kMasksAtOnce;
  plan_memory();
}

// For the longest text and, in a batch, many short ones beside it.
void FillMask::plan_memory() {
  const EncoderConfig& config = model_.config;
  logits_ = memory_.allocate_array<float>("logits", batch_.label_capacity * config.vocab_size);
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
  const size_t n_bytes = planned_arena_bytes(ctx_, [&](Context& planning) {
    Tape tape(planning, false);
    masked_lm_logits(model_, ForwardPass{&tape, &full, adapter_.get(), false},
                     make_tensor(logits_, full.n_labels(), config.vocab_size));
  });
  arena_ = Arena(memory_.allocate("activations, scratch", n_bytes), n_bytes);
  tape_ = std::make_unique<Tape>(ctx_, false);
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
  const Tensor logits = make_tensor(logits_, batch_.n_labels(), model_.config.vocab_size);
  masked_lm_logits(model_, ForwardPass{tape_.get(), &batch_, adapter_.get(), false}, logits);
  batch_.clear();
  return logits;
}

std::vector<std::vector<float>> FillMask::logits(const std::vector<int32_t>& ids) {
  std::vector<std::vector<float>> all;
  for (const int64_t position : mask_positions(ids)) {
    append(ids, {&position, 1});
    const Tensor row = run();
    all.emplace_back(row.f32(), row.f32() + row.cols);
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
    answer(part, make_tensor(logits.f32() + row * logits.cols, n, logits.cols));
    row += n;
  }
}

void FillMask::answer(const Part& part, const Tensor& logits) {
  const MaskedText& text = *part.text;
  const size_t k = static_cast<size_t>(text.top_k);
  std::vector<int32_t> ids(part.positions.size() * k);
  std::vector<float> scores(ids.size());
  topk(ctx_, TopK{.logits = logits,
                  .candidates = text.candidates,
                  .k = text.top_k,
                  .ids = ids,
                  .probabilities = scores});
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
