// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/fill_mask.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "kernels/ops/topk.h"

namespace qe {
namespace {

// Masks whose logits are held at once; a text with more runs again for the next ones.
constexpr int64_t kMasksAtOnce = 8;

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
    const Adapter stored = read_adapter(options.adapter);
    adapter_ = std::make_unique<LoraAdapter>(stored.config, model_.lora_sites(), model_.n_linears(),
                                             false, memory_);
    adapter_->assign(stored, options.adapter);
  }
  const EncoderConfig& config = model_.config;
  logits_ = memory_.allocate_array<float>("logits", kMasksAtOnce * config.vocab_size);
  const int64_t length = config.max_length();
  batch_.token_capacity = length;
  batch_.label_capacity = kMasksAtOnce;
  PackedBatch longest;
  longest.token_capacity = length;
  longest.label_capacity = kMasksAtOnce;
  const std::vector<int32_t> ids(length, *tokenizer_.mask_id());
  std::vector<int32_t> labels(length, kNoLabel);
  std::fill_n(labels.begin(), std::min(length, kMasksAtOnce), 0);
  longest.append(config, 0, ids, {}, labels);
  const size_t n_bytes = planned_arena_bytes(ctx_, [&](Context& planning) {
    Tape tape(planning, false);
    masked_lm_logits(model_, ForwardPass{&tape, &longest, adapter_.get(), false},
                     make_tensor(logits_, longest.n_labels(), config.vocab_size));
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

// Logits (positions, V) of at most kMasksAtOnce positions.
Tensor FillMask::run(const std::vector<int32_t>& ids, std::span<const int64_t> positions) {
  std::vector<int32_t> labels(ids.size(), kNoLabel);
  for (const int64_t position : positions) labels[position] = 0;
  batch_.clear();
  batch_.append(model_.config, 0, ids, {}, labels);
  const Tensor logits =
      make_tensor(logits_, static_cast<int64_t>(positions.size()), model_.config.vocab_size);
  masked_lm_logits(model_, ForwardPass{tape_.get(), &batch_, adapter_.get(), false}, logits);
  return logits;
}

std::vector<std::vector<float>> FillMask::logits(const std::vector<int32_t>& ids) {
  std::vector<std::vector<float>> all;
  for (const int64_t position : mask_positions(ids)) {
    const Tensor row = run(ids, {&position, 1});
    all.emplace_back(row.f32(), row.f32() + row.cols);
  }
  return all;
}

std::vector<std::vector<MaskAnswer>> FillMask::fill(const std::string& text, int64_t top_k,
                                                    const std::vector<int32_t>& candidates) {
  QE_CHECK(top_k > 0, "top_k: expected a positive number, got ", top_k);
  const Encoding encoding = tokenizer_.encode(text);
  if (encoding.n_replaced_bytes > 0) {
    log_.warn(cat(encoding.n_replaced_bytes, " invalid UTF-8 sequences were replaced by U+FFFD"));
  }
  const std::vector<int64_t> positions = mask_positions(encoding.ids);
  QE_CHECK(!positions.empty(), "No mask_token (", tokenizer_.mask_token(),
           ") found on the input: \"", text.substr(0, 200), "\"");
  const int64_t n_tokens = static_cast<int64_t>(encoding.ids.size());
  QE_CHECK(n_tokens <= model_.config.max_length(), "the text has ", n_tokens,
           " tokens; the model has positions for ", model_.config.max_length());
  const int64_t n_choices =
      candidates.empty() ? model_.config.vocab_size : static_cast<int64_t>(candidates.size());
  const int64_t k = std::min(top_k, n_choices);
  std::vector<std::vector<MaskAnswer>> answers;
  for (size_t begin = 0; begin < positions.size(); begin += kMasksAtOnce) {
    const auto some = std::span(positions).subspan(
        begin, std::min<size_t>(kMasksAtOnce, positions.size() - begin));
    const Tensor logits = run(encoding.ids, some);
    std::vector<int32_t> ids(some.size() * k);
    std::vector<float> scores(some.size() * k);
    topk(ctx_, TopK{.logits = logits,
                    .candidates = candidates,
                    .k = k,
                    .ids = ids,
                    .probabilities = scores});
    for (size_t m = 0; m < some.size(); ++m) {
      std::vector<MaskAnswer> best;
      for (size_t i = m * k; i < (m + 1) * static_cast<size_t>(k); ++i) {
        std::vector<int32_t> filled = encoding.ids;
        filled[some[m]] = ids[i];
        if (tokenizer_.pad_id()) std::erase(filled, *tokenizer_.pad_id());
        best.push_back({scores[i], ids[i], tokenizer_.decode({ids[i]}, false),
                        tokenizer_.decode(filled, positions.size() == 1)});
      }
      answers.push_back(std::move(best));
    }
  }
  return answers;
}

}  // namespace qe
