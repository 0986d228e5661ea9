// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/token_scores.h"

#include <utility>

#include "kernels/ops/transfer.h"

namespace qe {

void TokenScores::allocate(InferSession& session) {
  losses_ = session.memory().allocate_array<float>("token losses", session.capacity().labels);
}

void TokenScores::forward(const MaskedLm& model, const ForwardPass& pass) const {
  const int64_t n = pass.batch.n_labels();
  masked_lm_loss(model, pass, false, nullptr,
                 make_tensor(losses_, 1, n, DType::kF32, pass.tape->context().device));
}

void TokenScores::add(InferSession& session, std::span<const int32_t> ids, int64_t position,
                      int32_t token, const LoraAdapter* adapter, double* to) {
  labels_.assign(ids.size(), kNoLabel);
  labels_[static_cast<size_t>(position)] = token;
  if (!session.append(ids, labels_, adapter)) {
    flush(session);
    session.append(ids, labels_, adapter);
  }
  waiting_.push_back(to);
}

void TokenScores::flush(InferSession& session) {
  const std::vector<double*> waiting = std::exchange(waiting_, {});
  if (waiting.empty()) return;
  session.run([this](const MaskedLm& model, const ForwardPass& pass) { forward(model, pass); });
  values_.resize(waiting.size());
  copy_bytes(session.context(), values_.data(), losses_, values_.size() * sizeof(float));
  synchronize(session.context());
  for (size_t i = 0; i < waiting.size(); ++i) *waiting[i] = -static_cast<double>(values_[i]);
}

}  // namespace qe
