// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Filling masks, with the semantics of Hugging Face's fill-mask pipeline.

#include <memory>
#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/weight_loader.h"
#include "formats/tokenizer/tokenizer.h"

namespace qe {

struct FillMaskOptions {
  std::string model;    ///< model folder
  std::string adapter;  ///< PEFT adapter folder; "" = the base alone
  BaseOptions base;     ///< how the base's weights are held
  int threads = 0;      ///< CPU threads; 0 = all
};

/// One candidate for one mask.
struct MaskAnswer {
  double score = 0.0;     ///< softmax probability over the whole vocabulary
  int32_t token = 0;      ///< id
  std::string token_str;  ///< decode([id])
  std::string sequence;   ///< the text with this mask filled; other masks stay
};

class FillMask {
 public:
  /// Loads model, tokenizer and adapter, and plans memory for texts as long as the model's
  /// positions. Throws Error as load_masked_lm and read_adapter do, and when the tokenizer has no
  /// mask token.
  FillMask(const FillMaskOptions& options, const Log& log);
  ~FillMask();

  /// Resolves target words to ids: exact vocabulary entries, else the first token of the word
  /// (logged). Duplicates are dropped. Throws Error when none is valid.
  std::vector<int32_t> target_ids(const std::vector<std::string>& targets) const;

  /// The best top_k answers for every mask of the text, in order of position; each mask is filled
  /// independently. candidates: only these ids, scores not renormalized; empty = all. Throws Error
  /// when the text has no mask token or more tokens than the model has positions.
  std::vector<std::vector<MaskAnswer>> fill(const std::string& text, int64_t top_k,
                                            const std::vector<int32_t>& candidates);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const std::vector<MemoryRow>& memory() const { return memory_.rows(); }
  /// Logits (V) at every mask of already tokenized input, for comparison with references.
  std::vector<std::vector<float>> logits(const std::vector<int32_t>& ids);

 private:
  std::vector<int64_t> mask_positions(const std::vector<int32_t>& ids) const;
  Tensor run(const std::vector<int32_t>& ids, std::span<const int64_t> positions);

  Log log_;
  ThreadPool threads_;
  StepState step_;
  Memory memory_;
  Context ctx_;
  Tokenizer tokenizer_;
  MaskedLm model_;
  std::unique_ptr<LoraAdapter> adapter_;
  Arena arena_;
  std::unique_ptr<Tape> tape_;
  PackedBatch batch_;
  float* logits_ = nullptr;  // (kMasksAtOnce, V)
};

}  // namespace qe
