// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Filling masks, with the semantics of Hugging Face's fill-mask pipeline.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/batch_buffer.h"
#include "engine/model/weight_loader.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/ops/backend.h"

namespace qe {

struct FillMaskOptions {
  std::string model;            ///< model folder
  std::string adapter;          ///< PEFT adapter folder; "" = the base alone
  BaseOptions base;             ///< how the base's weights are held
  int64_t expanded_layers = 0;  ///< of these decoded as well (engine/model/expanded_weights.h)
  std::string device = "auto";  ///< as run_config's
  std::string compute_dtype = "auto";  ///< as run_config's
  int threads = 0;                     ///< CPU threads; 0 = all
  double max_memory_MB = 0;            ///< as run_config's
  bool batches = false;  ///< several texts share a forward pass: more memory, more speed, same bits
};

/// One candidate for one mask.
struct MaskAnswer {
  double score = 0.0;     ///< softmax probability over the whole vocabulary
  int32_t token = 0;      ///< id
  std::string token_str;  ///< decode([id])
  std::string sequence;   ///< the text with this mask filled; other masks stay
};

/// Answers per mask, in order of position; best first.
using MaskAnswers = std::vector<std::vector<MaskAnswer>>;

/// A text that can be filled: FillMask::prepare made it.
struct MaskedText {
  std::vector<int32_t> ids;
  std::vector<int64_t> positions;  ///< of the masks, ascending
  std::vector<int32_t> candidates;
  int64_t top_k = 0;
};

class FillMask {
 public:
  /// Loads model, tokenizer and adapter, and plans, then owns, memory for texts as long as the
  /// model's positions. Throws Error as load_masked_lm and read_adapter do, when the tokenizer has
  /// no mask token, and when it does not fit.
  FillMask(const FillMaskOptions& options, const Log& log) : FillMask(options, log, false) {}
  ~FillMask();

  /// Resolves target words to ids: exact vocabulary entries, else the first token of the word
  /// (logged). Duplicates are dropped. Throws Error when none is valid.
  std::vector<int32_t> target_ids(const std::vector<std::string>& targets) const;

  /// Asks for the best top_k answers for every mask of the text. candidates: only these ids, scores
  /// not renormalized; empty = all. Throws Error when the text has no mask token or more tokens
  /// than the model has positions.
  MaskedText prepare(const std::string& text, int64_t top_k,
                     const std::vector<int32_t>& candidates) const;
  /// The answers to each; every mask is filled independently.
  std::vector<MaskAnswers> fill(std::span<const MaskedText> texts);
  MaskAnswers fill(const std::string& text, int64_t top_k, const std::vector<int32_t>& candidates) {
    const MaskedText prepared = prepare(text, top_k, candidates);
    return std::move(fill({&prepared, 1}).front());
  }
  /// Tokens of a full forward pass: what a caller should collect before it calls fill.
  int64_t batch_tokens() const { return batch_.token_capacity; }

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const std::vector<MemoryRow>& memory() const { return memory_.rows(); }
  /// Logits (V) at every mask of already tokenized input, for comparison with references.
  std::vector<std::vector<float>> logits(const std::vector<int32_t>& ids);

 private:
  std::vector<int64_t> mask_positions(const std::vector<int32_t>& ids) const;
  // Some masks of a text, in one forward pass.
  struct Part {
    const MaskedText* text;
    MaskAnswers* answers;
    std::span<const int64_t> positions;
  };
  FillMask(const FillMaskOptions& options, const Log& log, bool planning);
  Context make_context(const FillMaskOptions& options, bool planning);
  void take_memory(const FillMaskOptions& options);
  void allocate_buffers();
  void check_id(int32_t id) const;
  bool append(const std::vector<int32_t>& ids, std::span<const int64_t> positions);
  Tensor run();
  void answer(std::span<const Part> parts);
  void answer(const Part& part, const Tensor& logits);

  Log log_;
  ThreadPool threads_;
  Backend backend_;
  Arena arena_;
  Context ctx_;
  Memory memory_;
  Tokenizer tokenizer_;
  MaskedLm model_;
  std::unique_ptr<LoraAdapter> adapter_;
  std::unique_ptr<Tape> tape_;
  std::unique_ptr<BatchBuffer> buffer_;
  PackedBatch batch_;
  int64_t max_sequences_ = 1;
  // In the device's memory.
  float* logits_ = nullptr;        // (batch_.label_capacity, V)
  int32_t* candidates_ = nullptr;  // (V)
  int64_t n_answers_ = 0;          // room for the next two
  int32_t* best_ids_ = nullptr;
  float* best_scores_ = nullptr;
};

}  // namespace qe
