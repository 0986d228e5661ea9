// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// One vector for a text: what an encoder makes of it, pooled.

#include <cstdint>
#include <span>
#include <string>

#include "engine/infer/session.h"

namespace qe {

enum class Pooling {
  kCls,   ///< the first token's row
  kMean,  ///< the mean of all rows, special tokens included, as sentence-transformers' mean over
          ///< the attention mask
};

struct EmbedOptions {
  Pooling pooling = Pooling::kMean;
  /// The hidden states of transformers' output_hidden_states that are pooled: 0 are the embeddings,
  /// i what layer i leaves; kAfterAllLayers: the last ones (after the final norm, where there is
  /// one).
  int64_t layer = kAfterAllLayers;
  bool normalize = false;  ///< to Euclidean length 1 (x / max(|x|, 1e-12))
};

/// Brings every row of `columns` to Euclidean length 1, as EmbedOptions::normalize.
void normalize_rows(std::span<float> rows, int64_t columns);

class Embedder {
 public:
  /// Over a session of its own. Throws Error as InferSession does; a masked-LM head is not needed.
  Embedder(const InferOptions& options, const EmbedOptions& embed, const Log& log);
  /// Over a session that serves others as well: one whose Use has use(), which attach is given
  /// before anything is asked.
  explicit Embedder(const EmbedOptions& embed) : options_(embed) {}
  InferSession::Use use();
  void attach(InferSession& session) { session_ = &session; }

  /// Columns of an embedding.
  int64_t size() const { return session_->config().hidden_size; }
  /// Throws Error when the text is too long, unless it may be cut, or has no token at all.
  EncodedText prepare(std::string_view text, bool truncate) const;
  /// out: (texts, size()) row-major, the caller's.
  void embed(std::span<const EncodedText> texts, std::span<float> out);

  const InferSession& session() const { return *session_; }

 private:
  void forward(const MaskedLm& model, const ForwardPass& pass) const;
  void finish(std::span<float> out);

  EmbedOptions options_;
  float* pooled_ = nullptr;  // (sequences of a batch, C), in the device's memory
  std::unique_ptr<InferSession> own_session_;
  InferSession* session_ = nullptr;
};

}  // namespace qe
