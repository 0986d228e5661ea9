// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The MLM head: transform (dense, activation, LayerNorm) and decoder, over labelled rows only.
#include <algorithm>

#include "engine/model/masked_lm.h"

namespace qe {
namespace {

// The head's transform of gathered rows.
Var transform(const MaskedLm& model, const ForwardPass& pass, Var rows, const RowSubset& subset) {
  Tape& tape = *pass.tape;
  const Var dense = linear(pass, model.head_dense, rows, kHeadLayer, LinearSite::kHead, subset);
  tape.drop(rows);
  const Var activated = activation(tape, activation_of(model.config.head_activation), dense);
  tape.drop(dense);
  return norm(tape, model.head_norm, activated);
}

template <class T>
std::span<const T> chunk_of(const std::vector<T>& all, int64_t begin, int64_t n) {
  return std::span<const T>(all).subspan(begin, n);
}

// Forward and backward of the head over labelled rows [begin, begin + n).
void loss_of_chunk(const MaskedLm& model, const ForwardPass& pass, const Tensor& hidden,
                   const GradientTarget& d_hidden, int64_t begin, int64_t n, int64_t capacity,
                   MlmTotals* totals) {
  Tape& tape = *pass.tape;
  const PackedBatch& batch = *pass.batch;
  const RowSubset subset{chunk_of(batch.label_samples, begin, n),
                         chunk_of(batch.label_indices, begin, n)};
  const Var all = tape.wrap(hidden, batch.token_capacity, d_hidden);
  const Var rows = gather(tape, all, chunk_of(batch.label_rows, begin, n), capacity);
  const Var h = transform(model, pass, rows, subset);
  mlm_loss(tape.context(), MlmLoss{.hidden = tape.value(h),
                                   .decoder = model.decoder,
                                   .bias = model.decoder_bias,
                                   .labels = chunk_of(batch.labels, begin, n),
                                   .d_hidden = tape.target(h).tensor,
                                   .totals = totals,
                                   .label_smoothing = pass.label_smoothing});
  if (tape.recording()) {
    tape.backward();
  } else {
    tape.clear();
  }
}

}  // namespace

void masked_lm_loss(const MaskedLm& model, const ForwardPass& pass, bool checkpoint,
                    MlmTotals* totals) {
  Tape& tape = *pass.tape;
  const PackedBatch& batch = *pass.batch;
  const Var hidden = encode(model, pass, checkpoint);
  GradientTarget d_hidden = tape.target(hidden);
  ForwardPass head = pass;
  head.tape = &tape.inner(tape.recording());
  const int64_t chunk_rows = mlm_loss_chunk_rows(model.config.vocab_size);
  const int64_t capacity = std::min(batch.label_capacity, chunk_rows);
  // Once even without labels: the first chunk zeroes the gradient.
  for (int64_t begin = 0; begin == 0 || begin < batch.n_labels(); begin += chunk_rows) {
    const int64_t n = std::min(batch.n_labels() - begin, chunk_rows);
    loss_of_chunk(model, head, tape.value(hidden), d_hidden, begin, n, capacity, totals);
    d_hidden.mode = GradientMode::kAccumulate;
  }
  if (tape.recording()) {
    tape.backward();
  } else {
    tape.clear();
  }
}

void masked_lm_logits(const MaskedLm& model, const ForwardPass& pass, const Tensor& logits) {
  Tape& tape = *pass.tape;
  const PackedBatch& batch = *pass.batch;
  const Var hidden = encode(model, pass, false);
  const Var rows = gather(tape, hidden, batch.label_rows, batch.label_capacity);
  tape.drop(hidden);
  const Var h = transform(model, pass, rows, {batch.label_samples, batch.label_indices});
  mlm_logits(tape.context(), tape.value(h), model.decoder, model.decoder_bias, logits);
  tape.clear();
}

}  // namespace qe
