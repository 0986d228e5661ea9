// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/embed.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/pooling.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

InferOptions without_head(InferOptions options) {
  options.base.needs_head = false;
  return options;
}

}  // namespace

void normalize_rows(std::span<float> rows, int64_t columns) {
  for (size_t at = 0; at < rows.size(); at += static_cast<size_t>(columns)) {
    const std::span<float> row = rows.subspan(at, static_cast<size_t>(columns));
    double squares = 0.0;
    for (const float x : row) squares += static_cast<double>(x) * static_cast<double>(x);
    const double norm = std::max(std::sqrt(squares), 1e-12);
    for (float& x : row) x = static_cast<float>(static_cast<double>(x) / norm);
  }
}

// The rows that are pooled are the batch's labelled ones: the last layer computes no others.
InferSession::Use Embedder::use() {
  const bool all_rows = options_.pooling == Pooling::kMean;
  return {
      .labels = [=](int64_t tokens, int64_t sequences) { return all_rows ? tokens : sequences; },
      .allocate =
          [this](InferSession& session) {
            const EncoderConfig& config = session.config();
            QE_CHECK(options_.layer == kAfterAllLayers ||
                         (options_.layer >= 0 && options_.layer <= config.n_layers),
                     "layer: expected 0 .. ", config.n_layers, ", got ", options_.layer);
            pooled_ = session.memory().allocate_array<float>(
                "embeddings of texts", session.capacity().sequences * config.hidden_size);
          },
      .forwards = {[this](const MaskedLm& model, const ForwardPass& pass) {
        forward(model, pass);
      }}};
}

Embedder::Embedder(const InferOptions& options, const EmbedOptions& embed, const Log& log)
    : options_(embed),
      own_session_(std::make_unique<InferSession>(without_head(options), use(), log)) {
  attach(*own_session_);
}

EncodedText Embedder::prepare(std::string_view text, bool truncate) const {
  EncodedText encoded = session_->encode(text, truncate);
  QE_CHECK(!encoded.ids.empty(), "the text has no token");
  return encoded;
}

void Embedder::forward(const MaskedLm& model, const ForwardPass& pass) const {
  Tape& tape = *pass.tape;
  Context& ctx = tape.context();
  const Var rows = encode_labelled(model, pass, false, options_.layer);
  const Tensor hidden = tape.value(rows);
  const int64_t n = pass.batch.n_sequences();
  const Tensor pooled = make_tensor(pooled_, n, hidden.cols, DType::kF32, ctx.device);
  if (options_.pooling == Pooling::kMean) {
    sequence_mean(ctx, {.x = hidden, .cu_seqlens = pass.batch.cu_seqlens, .y = pooled});
  } else {
    cast(ctx, hidden.row_range(0, n), pooled);
  }
  tape.clear();
}

// Runs the batch; its rows of `out`.
void Embedder::finish(std::span<float> out) {
  if (session_->empty()) return;
  session_->run([this](const MaskedLm& model, const ForwardPass& pass) { forward(model, pass); });
  copy_bytes(session_->context(), out.data(), pooled_, out.size_bytes());
  synchronize(session_->context());
  if (options_.normalize) normalize_rows(out, size());
}

void Embedder::embed(std::span<const EncodedText> texts, std::span<float> out) {
  const auto columns = static_cast<size_t>(size());
  QE_CHECK(out.size() == texts.size() * columns, "embed: expected room for ", texts.size(), " x ",
           columns, " numbers, got ", out.size());
  std::vector<int32_t> labels;
  size_t begin = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<int32_t>& ids = texts[i].ids;
    labels.assign(ids.size(), options_.pooling == Pooling::kMean ? 0 : kNoLabel);
    labels[0] = 0;
    if (session_->append(ids, labels, texts[i].adapter)) continue;
    finish(out.subspan(begin * columns, (i - begin) * columns));
    session_->append(ids, labels, texts[i].adapter);
    begin = i;
  }
  finish(out.subspan(begin * columns, (texts.size() - begin) * columns));
}

}  // namespace qe
