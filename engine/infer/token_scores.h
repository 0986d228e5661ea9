// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The probability of one token at one place of each of many sequences, in as few forward passes as
// a session's batches allow.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/infer/session.h"

namespace qe {

class TokenScores {
 public:
  /// What a session needs for them: put into its Use's allocate and forwards.
  void allocate(InferSession& session);
  void forward(const MaskedLm& model, const ForwardPass& pass) const;

  /// Asks for log p(token at position | the rest of ids), natural; it is in *to after flush() at
  /// the latest. adapter: as InferSession::append's.
  void add(InferSession& session, std::span<const int32_t> ids, int64_t position, int32_t token,
           const LoraAdapter* adapter, double* to);
  void flush(InferSession& session);

 private:
  float* losses_ = nullptr;  // (labels of a batch), in the device's memory
  std::vector<float> values_;
  std::vector<int32_t> labels_;
  std::vector<double*> waiting_;
};

}  // namespace qe
