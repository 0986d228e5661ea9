// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A model that answers: loaded once, with memory for a batch of limited size. What runs over it
// (filling masks, scores, embeddings) fills batches and says what a forward pass computes.

#include <functional>
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

struct InferOptions {
  std::string model;            ///< model folder
  std::string adapter;          ///< PEFT adapter folder; "" = the base alone
  BaseOptions base;             ///< how the base's weights are held
  int64_t expanded_layers = 0;  ///< of these decoded as well (engine/model/expanded_weights.h)
  std::string device = "auto";  ///< as run_config's
  std::string compute_dtype = "auto";  ///< as run_config's
  int threads = 0;                     ///< CPU threads; 0 = all
  double max_memory_MB = 0;            ///< as run_config's
  /// Tokens that share a forward pass beside a longest text; 0: texts run one by one. More memory,
  /// more speed, on the CPU the same bits.
  int64_t batch_tokens = 0;
  /// Largest rank of the adapters that use_adapter will be given; 0: none will be.
  int64_t adapter_rank = 0;
  void* stream =
      nullptr;  ///< a GPU's, of the host's own, which outlives the session; null: a new one
};

/// A usual value of batch_tokens.
inline constexpr int64_t kUsualBatchTokens = 1024;

/// A text as a model reads it: InferSession::encode made it.
struct EncodedText {
  std::vector<int32_t> ids;
  std::vector<uint8_t> special;          ///< 1: added around the text
  std::vector<int32_t> word_ids;         ///< the tokenizer's words; -1 for special tokens
  int64_t n_cut = 0;                     ///< tokens left out at its end, because it was too long
  const LoraAdapter* adapter = nullptr;  ///< InferSession::append's
};

class InferSession {
 public:
  using Forward = std::function<void(const MaskedLm&, const ForwardPass&)>;

  /// What a session is for. The forwards are what run() will be given: each is run over memory that
  /// counts first.
  struct Use {
    /// Tokens of the shortest texts that fill a batch, its sequences' number: shorter ones leave
    /// some of it unused.
    int64_t short_text = 8;
    /// Labelled rows of a batch of so many tokens and sequences.
    std::function<int64_t(int64_t tokens, int64_t sequences)> labels;
    /// Takes device memory of its own, once the capacity and the model's sizes are known.
    std::function<void(InferSession&)> allocate;
    std::vector<Forward> forwards;

    /// Of a session that all of these run over, one after the other.
    static Use together(std::vector<Use> uses);
  };

  /// Loads model, tokenizer and adapter, and plans, then owns, memory for texts as long as the
  /// model's positions. Throws Error as load_masked_lm and read_adapter do, and when it does not
  /// fit.
  InferSession(const InferOptions& options, const Use& use, const Log& log)
      : InferSession(options, use, log, false) {}
  ~InferSession();
  InferSession(const InferSession&) = delete;
  InferSession& operator=(const InferSession&) = delete;

  /// Of one text. Throws Error when it has more tokens than the model has positions, unless they
  /// are to be cut; logs a warning where its UTF-8 is not valid.
  EncodedText encode(std::string_view text, bool truncate = false) const;
  /// Throws Error when the model's vocabulary lacks an id of the tokenizer.
  void check_id(int32_t id) const;

  /// Adds a sequence to the batch; false when it does not fit beside what is there. labels: of its
  /// tokens, or kNoLabel. adapter: of this model, outlives the run and has no larger rank than was
  /// planned for; null: the session's own, or none. Some adapters share no pass with others
  /// (can_be_mixed), and sequences with the same one should come together.
  bool append(std::span<const int32_t> ids, std::span<const int32_t> labels,
              const LoraAdapter* adapter = nullptr);
  /// Runs a forward pass over the batch, which is empty afterwards, also when this throws.
  void run(const Forward& forward);
  /// Forgets the batch.
  void discard();
  bool empty() const { return batch_.n_sequences() == 0; }
  /// Whether sequences with this adapter (null: as append's) share passes with those of others.
  bool mixes(const LoraAdapter* adapter) const;

  const PackedBatch& batch() const { return batch_; }
  const BatchCapacity& capacity() const { return capacity_; }
  const MaskedLm& model() const { return model_; }
  const EncoderConfig& config() const { return model_.config; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const std::string& name() const { return name_; }  ///< the model's folder
  const Log& log() const { return log_; }
  Context& context() { return ctx_; }
  Memory& memory() { return memory_; }
  const Memory& memory() const { return memory_; }

 private:
  InferSession(const InferOptions& options, const Use& use, const Log& log, bool planning);
  Context make_context(const InferOptions& options, bool planning);
  MaskedLm load_base(const InferOptions& options);
  void take_memory(const InferOptions& options, const Use& use);
  void allocate_buffers(const Use& use, int64_t adapter_rank);
  PackedBatch full_batch(int64_t length) const;
  size_t arena_bytes(const PackedBatch& batch, const Use& use,
                     std::span<const AdapterRows> rows) const;
  ForwardPass pass_over(Tape& tape, const BatchView& batch,
                        std::span<const AdapterRows> rows) const;
  size_t arena_bytes(const Use& use, int64_t adapter_rank) const;

  std::string name_;
  Log log_;
  ThreadPool threads_;
  Backend backend_;
  Arena arena_;
  Context ctx_;
  Memory memory_;
  Tokenizer tokenizer_;
  MaskedLm model_;
  std::unique_ptr<LoraAdapter> adapter_;  // of InferOptions
  std::unique_ptr<Tape> tape_;
  std::unique_ptr<BatchBuffer> buffer_;
  BatchCapacity capacity_;
  PackedBatch batch_;
  std::vector<AdapterRows> adapter_rows_;  // of the batch
};

}  // namespace qe
