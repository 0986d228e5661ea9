// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What somebody asks of a served model: texts of one kind, prepared on the asking thread, and their
// answers. A request is done in pieces, so that a long one does not hold up those behind it.

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/infer/embed.h"
#include "engine/infer/fill_mask.h"
#include "engine/infer/scoring.h"
#include "kernels/core/error.h"

namespace qe {

/// Why a request has no answer.
enum class Refusal {
  kNone,
  kArgument,
  kText,
  kFile,
  kAdapter,
  kOverloaded,
  kDeadline,
  kCancelled,
  kMemory,
  kDevice,
  kInternal,
};

class Refused : public Error {
 public:
  Refused(Refusal reason, const std::string& what) : Error(what), why(reason) {}
  Refusal why;
};

enum class RequestKind { kFill, kScore, kEmbed };

/// An adapter that requests may use: it lives as long as one of them does.
struct ServedAdapter {
  explicit ServedAdapter(const Context& ctx) : memory(ctx) {}
  Memory memory;
  std::unique_ptr<LoraAdapter> adapter;
};

struct Request {
  using Clock = std::chrono::steady_clock;
  /// Called once, from the thread that serves or, of a request that was taken back, that took it.
  using Done = std::function<void(Request& request, Refusal why, const std::string& message)>;
  /// Of one text: all of it, or (kScore) the tokens [begin, end) of those that are scored.
  struct Piece {
    size_t text = 0;
    int64_t begin = 0, end = 0;
    int64_t n_tokens = 0;  ///< that pass through the model
  };

  RequestKind kind = RequestKind::kFill;
  std::shared_ptr<const ServedAdapter> adapter;  ///< null: the base
  bool mixes = true;  ///< shares passes with those of other adapters that do
  Pooling pooling = Pooling::kMean;
  Clock::time_point deadline = Clock::time_point::max();  ///< it does not begin after this
  Done done;

  std::vector<MaskedText> masked;    ///< kFill's texts
  std::vector<EncodedText> encoded;  ///< the others'
  std::vector<Piece> pieces;

  // The answers.
  std::vector<std::vector<std::vector<BestToken>>> best;  ///< kFill: text, mask, rank
  std::vector<std::vector<double>> log_probabilities;     ///< kScore: text, token
  std::span<float> embeddings;                            ///< kEmbed: (texts, C), the caller's

  // RequestQueue's.
  uint64_t id = 0;
  Clock::time_point arrival;
  size_t n_taken = 0;     // pieces
  size_t n_answered = 0;  // pieces
  bool failed = false;

  int64_t n_waiting_tokens() const {
    int64_t n = 0;
    for (size_t i = n_taken; i < pieces.size(); ++i) n += pieces[i].n_tokens;
    return n;
  }
  /// Whether one forward pass can answer both.
  bool shares_pass_with(const Request& other) const {
    return kind == other.kind && pooling == other.pooling &&
           (adapter == other.adapter || (mixes && other.mixes));
  }
};

}  // namespace qe
