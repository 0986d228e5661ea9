// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The MLM head: transform (dense, activation, LayerNorm) and decoder, over labelled rows only.
#include <algorithm>

#include "engine/model/masked_lm.h"

namespace qe {
namespace {

// The head's transform of gathered rows.
Var transform(const MaskedLm& model, const ForwardPass& pass, Var rows) {
  Tape& tape = *pass.tape;
  if (!model.head_dense) return rows;
  const Var dense = linear(pass, {&model.head_dense, 1}, rows, kHeadLayer, LinearSite::kHead);
  tape.drop(rows);
  const Var activated = activation(tape, model.config.head_activation, dense);
  tape.drop(dense);
  return norm(tape, pass.with_adapter(model.head_norm), activated);
}

template <class T>
std::span<const T> chunk_of(std::span<const T> all, int64_t begin, int64_t n) {
  return all.subspan(begin, n);
}

// On a GPU the decoder and its bias go on with zeros (kMlmDecoderRowMultiple).
int64_t padded_vocab(const Context& ctx, int64_t vocab_size) {
  if (ctx.device.kind == DeviceKind::kCpu) return vocab_size;
  return (vocab_size + kMlmDecoderRowMultiple - 1) / kMlmDecoderRowMultiple *
         kMlmDecoderRowMultiple;
}

// The model's decoder or what the adapter has of it; its gradients where it is trained.
struct Decoder {
  Tensor weight, bias;      // of mlm_loss's V' rows and columns
  Tensor d_weight, d_bias;  // of V
  ReplacedRows replaced;    // of a tied decoder
  Tensor d_replaced;

  Decoder(const MaskedLm& model, const ForwardPass& pass)
      : weight(model.decoder), bias(model.decoder_bias) {
    const TokenRows* const rows = pass.token_rows();
    if (const FullTensor* const full = pass.full(model.decoder_id)) {
      weight = full->computed;
      if (pass.tape->recording()) d_weight = full->gradient;
    } else if (rows && model.config.tied_decoder) {
      replaced = rows->replaced();
      if (pass.tape->recording()) d_replaced = rows->gradient;
    }
    if (const FullTensor* const full = pass.full(model.decoder_bias_id)) {
      bias = full->value;
      if (pass.tape->recording()) d_bias = full->gradient;
    }
    weight.rows = padded_vocab(pass.tape->context(), weight.rows);
    if (bias) bias.cols = bias.stride = weight.rows;
  }
};

// Which of the chunk's rows are among those of each adapter; `to` holds the result.
std::span<const AdapterRows> labels_of_chunk(std::span<const AdapterRows> mixed, int64_t begin,
                                             int64_t n, AdapterRows* to) {
  for (size_t i = 0; i < mixed.size(); ++i) {
    to[i] = mixed[i];
    to[i].label_begin = std::clamp<int64_t>(mixed[i].label_begin - begin, 0, n);
    to[i].label_end = std::clamp<int64_t>(mixed[i].label_end - begin, 0, n);
  }
  return {to, mixed.size()};
}

// Forward and backward of the head over labelled rows [begin, begin + n), hidden: (n, C).
void loss_of_chunk(const MaskedLm& model, const ForwardPass& pass, const Tensor& hidden,
                   const GradientTarget& d_hidden, int64_t begin, int64_t capacity,
                   MlmTotals* totals, const Tensor& row_loss) {
  Tape& tape = *pass.tape;
  const BatchView& batch = pass.batch;
  const int64_t n = hidden.rows;
  AdapterRows mixed[kMaxMixedAdapters];
  ForwardPass of_chunk =
      pass.over({chunk_of(batch.label_samples, begin, n), chunk_of(batch.label_indices, begin, n)});
  of_chunk.mixed = labels_of_chunk(pass.mixed, begin, n, mixed);
  const Var h = transform(model, of_chunk, tape.wrap(hidden, capacity, d_hidden));
  const Decoder decoder(model, pass);
  mlm_loss(tape.context(), MlmLoss{.hidden = tape.value(h),
                                   .decoder = decoder.weight,
                                   .bias = decoder.bias,
                                   .vocab_size = model.decoder.rows,
                                   .labels = chunk_of(batch.labels, begin, n),
                                   .d_hidden = tape.target(h).tensor,
                                   .row_loss = row_loss,
                                   .totals = totals,
                                   .label_smoothing = pass.label_smoothing,
                                   .d_decoder = decoder.d_weight,
                                   .d_bias = decoder.d_bias,
                                   .replaced = decoder.replaced,
                                   .d_replaced = decoder.d_replaced});
  if (tape.recording()) {
    tape.backward();
  } else {
    tape.clear();
  }
}

}  // namespace

void masked_lm_loss(const MaskedLm& model, const ForwardPass& pass, bool checkpoint,
                    MlmTotals* totals, const Tensor& row_loss) {
  Tape& tape = *pass.tape;
  const BatchView& batch = pass.batch;
  const Var hidden = encode_labelled(model, pass, checkpoint);
  const GradientTarget d_hidden = tape.target(hidden);
  ForwardPass head = pass;
  head.tape = &tape.inner(tape.recording());
  const int64_t chunk_rows = mlm_loss_chunk_rows(tape.context().device, model.config.vocab_size);
  const int64_t capacity = std::min(batch.label_capacity, chunk_rows);
  for (int64_t begin = 0; begin < batch.n_labels(); begin += chunk_rows) {
    const int64_t n = std::min(batch.n_labels() - begin, chunk_rows);
    GradientTarget d_chunk = d_hidden;
    if (d_hidden.tensor) d_chunk.tensor = d_hidden.tensor.row_range(begin, n);
    loss_of_chunk(model, head, tape.value(hidden).row_range(begin, n), d_chunk, begin, capacity,
                  totals, row_loss ? row_loss.col_range(begin, n) : row_loss);
  }
  if (tape.recording()) {
    tape.backward();
  } else {
    tape.clear();
  }
}

void masked_lm_logits(const MaskedLm& model, const ForwardPass& pass, const Tensor& logits) {
  Tape& tape = *pass.tape;
  const BatchView& batch = pass.batch;
  const Var hidden = encode_labelled(model, pass, false);
  const Var h = transform(model, pass.over({batch.label_samples, batch.label_indices}), hidden);
  const Decoder decoder(model, pass);
  mlm_logits(tape.context(), tape.value(h), decoder.weight, decoder.bias, logits, decoder.replaced);
  tape.clear();
}

}  // namespace qe
