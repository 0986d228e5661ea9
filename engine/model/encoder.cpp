// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Embeddings and encoder layers.
#include <cmath>

#include "engine/model/masked_lm.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/noise.h"

namespace qe {
namespace {

// Dropout sites of a layer.
constexpr uint32_t kAfterAttention = 0;
constexpr uint32_t kAfterFfn = 1;
constexpr uint32_t kDistanceRows = 2;
constexpr uint32_t kInsideFfn = 3;
constexpr uint32_t kAfterConvolution = 4;
constexpr uint32_t kAfterEmbedding = 0;

// What a layer's first Linears want behind their input; 0 for the layer behind the last: the head
// reads other memory.
int64_t room_of_layer(const MaskedLm& model, const ForwardPass& pass, uint32_t index) {
  const EncoderConfig& config = model.config;
  if (index >= config.n_layers) return 0;
  return lora_room(pass, model.layers[config.layer_weights(index)].qkv);
}

// Drops x.
Var project_embeddings(const MaskedLm& model, const ForwardPass& pass, Var x) {
  const Var projected = linear(pass, {&model.embedding_projection, 1}, x, Dropout::kEmbeddingLayer,
                               LinearSite::kEmbeddingProjection);
  pass.tape->drop(x);
  return projected;
}

// The tables' rows of each token, added up, (T, E); with the gradients of what is trained of them.
Var sum_of_tables(const MaskedLm& model, const ForwardPass& pass) {
  Tape& tape = *pass.tape;
  const BatchView batch = pass.batch;
  const FullTensor* const word = pass.full(model.word_id);
  const FullTensor* const type = pass.full(model.type_id);
  const FullTensor* const position = pass.full(model.position_id);
  const TokenRows* const rows = pass.token_rows();
  const bool trains = (word || type || position || rows) && pass.adapter->trainable();
  const Var sum =
      tape.make(batch.n_tokens(), batch.token_capacity, model.config.embedding_size, trains);
  embedding_forward(
      tape.context(),
      EmbeddingForward{.token_ids = batch.token_ids,
                       .type_ids = batch.type_ids,
                       .position_ids = batch.position_ids,
                       .word_scales = batch.word_scales,
                       .word_table = word ? word->computed : model.word_table,
                       .replaced = rows ? rows->replaced() : ReplacedRows{},
                       .type_table = type ? type->computed : model.type_table,
                       .position_table = position ? position->computed : model.position_table,
                       .out = tape.value(sum)});
  // torch's padding_idx of both.
  const auto padding = static_cast<int32_t>(model.config.pad_token_id);
  const bool skips_padding = model.config.position_ids == PositionIds::kSkipPadding;
  tape.record(sum, [=](Tape& t) {
    const auto backward = [&](EmbeddingBackward args) {
      args.d_out = t.gradient(sum);
      embedding_backward(t.context(), args);
    };
    if (word || rows) {
      backward({.ids = batch.token_ids,
                .slots = rows ? rows->slots : std::span<const int32_t>{},
                .scales = batch.word_scales,
                .padding_id = padding,
                .d_table = rows ? rows->gradient : word->gradient});
    }
    if (type) backward({.ids = batch.type_ids, .d_table = type->gradient});
    if (position) {
      backward({.ids = batch.position_ids,
                .padding_id = skips_padding ? padding : -1,
                .d_table = position->gradient});
    }
  });
  return sum;
}

Var embed(const MaskedLm& model, const ForwardPass& pass) {
  Tape& tape = *pass.tape;
  const EncoderConfig& config = model.config;
  const BatchView& batch = pass.batch;
  const Var sum = sum_of_tables(model, pass);
  if (pass.training && pass.noise_alpha > 0.0f) {
    embedding_noise(tape.context(), {.alpha = pass.noise_alpha,
                                     .cu_seqlens = batch.cu_seqlens,
                                     .sample_ids = batch.sample_ids,
                                     .x = tape.value(sum)});
  }
  const bool projects_first = config.norm_after_projection && model.embedding_projection;
  const Var wide = projects_first ? project_embeddings(model, pass, sum) : sum;
  const int64_t room = room_of_layer(model, pass, 0);
  const Var normed =
      model.embedding_norm ? norm(tape, pass.with_adapter(model.embedding_norm), wide, room) : wide;
  const Dropout after = pass.dropout(config.embedding_dropout, RandomPurpose::kHiddenDropout,
                                     Dropout::kEmbeddingLayer, kAfterEmbedding);
  const Var x = dropped(tape, after, normed, room);
  return projects_first || !model.embedding_projection ? x : project_embeddings(model, pass, x);
}

AttentionShape attention_shape(const MaskedLm& model, const ForwardPass& pass, uint32_t layer) {
  const EncoderConfig& config = model.config;
  const int64_t n_terms = config.n_distance_rows > 0 ? 3 : 1;  // of a score, of like size
  return AttentionShape{
      .cu_seqlens = pass.batch.cu_seqlens,
      .sample_ids = pass.batch.sample_ids,
      .max_length = pass.batch.max_length,
      .n_heads = config.n_heads,
      .n_kv_heads = config.n_kv_heads,
      .head_dim = config.head_dim,
      .window = config.is_local(layer) ? config.local_window : 0,
      .relative_bias = model.relative_bias,
      .distance_columns = model.distance_columns,
      .n_distance_columns = config.n_distance_rows,
      .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim * n_terms))),
      .dropout_p = pass.training ? config.attention_dropout : 0.0f,
      .layer = layer};
}

Rope rotary_of(const MaskedLm& model, const ForwardPass& pass, uint32_t layer) {
  const EncoderConfig& config = model.config;
  const bool local = config.is_local(layer) && model.local_rotary_table;
  return Rope{.positions = pass.batch.row_indices,
              .table = local ? model.local_rotary_table : model.rotary_table,
              .n_heads = config.n_heads + config.n_kv_heads,
              .head_dim = config.head_dim};
}

// Queries and keys of the distances, (rows, 2 H D).
Var distance_positions(const MaskedLm& model, const ForwardPass& pass, uint32_t index,
                       const EncoderLayer& layer) {
  Tape& tape = *pass.tape;
  const ForwardPass rows = pass.over(model.distance_subset);
  const int64_t n_rows = model.distance_rows.rows;
  Var distances = tape.wrap(model.distance_rows, n_rows);
  const Dropout before = rows.dropout(model.config.embedding_dropout, RandomPurpose::kHiddenDropout,
                                      index, kDistanceRows);
  if (before.p > 0.0f) {
    const Var dropped = tape.make(n_rows, n_rows, model.distance_rows.cols, false);
    dropout(tape.context(), before, model.distance_rows, tape.value(dropped));
    distances = dropped;
  }
  const std::span<const Linear> shared(layer.qkv.data(), 2);
  const Var positions = linear(rows, layer.distances.empty() ? shared : layer.distances, distances,
                               index, LinearSite::kDistances);
  tape.drop(distances);
  return positions;
}

Var attend(const MaskedLm& model, const ForwardPass& pass, uint32_t index,
           const EncoderLayer& layer, Var qkv, int64_t room) {
  Tape& tape = *pass.tape;
  const AttentionShape shape = attention_shape(model, pass, index);
  if (!model.distance_rows) {
    return attention(tape, shape, rotary_of(model, pass, index), qkv, room);
  }
  const Var positions = distance_positions(model, pass, index, layer);
  const Var context = disentangled_attention(tape, shape, qkv, positions);
  tape.drop(positions);
  return context;
}

// What a branch of the layer reads: x, or in a pre-norm layer its norm, with room behind it.
Var branch_input(const MaskedLm& model, Tape& tape, const Norm& norm, Var x, int64_t room) {
  const bool normed = model.config.norm_placement == NormPlacement::kPre && norm;
  return normed ? branch_norm(tape, norm, x, room) : x;
}
void drop_branch_input(Tape& tape, Var input, Var x) {
  if (input.index != x.index) tape.drop(input);
}

// The residual sum that ends a branch, and in a post-norm layer its norm, with room for the next.
Var join_branch(const MaskedLm& model, Tape& tape, const Norm& norm, Var branch, Var residual,
                const Dropout& dropout, int64_t room) {
  return model.config.norm_placement == NormPlacement::kPost
             ? residual_norm(tape, norm, branch, residual, dropout, room)
             : residual_add(tape, branch, residual, dropout);
}

// One layer. Does not drop x. labelled_only: what follows attention is computed at the labelled
// rows, in their order; nothing else of the last layer reaches the loss.
Var encoder_layer(const MaskedLm& model, const ForwardPass& pass, uint32_t index, Var x,
                  bool labelled_only) {
  Tape& tape = *pass.tape;
  const EncoderConfig& config = model.config;
  const EncoderLayer& layer = model.layers[config.layer_weights(index)];
  const int64_t context_room = lora_room(pass, {&layer.attention_output, 1});
  const int64_t ffn_room = lora_room(pass, layer.ffn_up);
  const Norm attention_norm = pass.with_adapter(layer.attention_norm);
  const Norm ffn_norm = pass.with_adapter(layer.ffn_norm);
  const Var attention_input =
      branch_input(model, tape, attention_norm, x, room_of_layer(model, pass, index));
  const Var qkv = linear(pass, layer.qkv, attention_input, index, LinearSite::kQkv);
  drop_branch_input(tape, attention_input, x);
  Var context = attend(model, pass, index, layer, qkv, labelled_only ? 0 : context_room);
  tape.drop(qkv);
  Var residual = x;
  ForwardPass rest = pass;
  if (labelled_only) {
    const BatchView& batch = pass.batch;
    const Var all = context;
    context = gather(tape, all, batch.label_rows, batch.label_capacity, context_room);
    tape.drop(all);
    residual = gather(tape, x, batch.label_rows, batch.label_capacity);
    rest = pass.over({batch.label_samples, batch.label_indices});
  }
  const Var projected =
      linear(rest, {&layer.attention_output, 1}, context, index, LinearSite::kAttentionOutput);
  tape.drop(context);
  const Var attended =
      join_branch(model, tape, attention_norm, projected, residual,
                  rest.dropout(config.attention_output_dropout, RandomPurpose::kHiddenDropout,
                               index, kAfterAttention),
                  ffn_room);
  if (labelled_only) tape.drop(residual);
  const Var ffn_input = branch_input(model, tape, ffn_norm, attended, ffn_room);
  const Var up = linear(rest, layer.ffn_up, ffn_input, index, LinearSite::kFfnUp);
  drop_branch_input(tape, ffn_input, attended);
  const FfnActivation between{
      config.activation, config.gated_ffn,
      rest.dropout(config.ffn_dropout, RandomPurpose::kHiddenDropout, index, kInsideFfn)};
  const Var down =
      activation_linear(rest, between, layer.ffn_down, up, index, LinearSite::kFfnDown);
  tape.drop(up);
  const Var y = join_branch(
      model, tape, ffn_norm, down, attended,
      rest.dropout(config.ffn_output_dropout, RandomPurpose::kHiddenDropout, index, kAfterFfn),
      room_of_layer(model, pass, index + 1));
  tape.drop(attended);
  return y;
}

// The layer without recording its inside: backward runs it again on the inner tape.
Var checkpointed_layer(const MaskedLm& model, const ForwardPass& pass, uint32_t index, Var x,
                       bool labelled_only) {
  Tape& tape = *pass.tape;
  const bool trains = pass.adapter && pass.adapter->trainable();
  ForwardPass inside = pass;
  inside.tape = &tape.inner(false);
  const Var inner_x =
      inside.tape->wrap(tape.value(x), tape.row_capacity(x), {}, tape.room(x).value);
  const Var inner_y = encoder_layer(model, inside, index, inner_x, labelled_only);
  const Var y = tape.adopt(*inside.tape, inner_y, trains || tape.needs_gradient(x));
  inside.tape->clear();
  tape.save(x);
  tape.record(y, [shared_model = &model, pass, index, labelled_only, x, y](Tape& t) {
    ForwardPass again = pass;
    again.tape = &t.inner(true);
    const Var input = again.tape->wrap(t.value(x), t.row_capacity(x), t.target(x), t.room(x).value);
    const Var output = encoder_layer(*shared_model, again, index, input, labelled_only);
    again.tape->seed_gradient(output, t.gradient(y));
    again.tape->backward();
  });
  return y;
}

// norm(y + f(convolution of x)), which follows the first layer, y, of embeddings x. Drops y.
Var convolve(const MaskedLm& model, const ForwardPass& pass, Var x, Var y, bool labelled_only) {
  Tape& tape = *pass.tape;
  const BatchView& batch = pass.batch;
  const Dropout after = pass.dropout(model.config.ffn_output_dropout, RandomPurpose::kHiddenDropout,
                                     0, kAfterConvolution);
  Var around = convolution(tape, model.convolution, batch.row_indices, after, x);
  if (labelled_only) {
    const Var all = around;
    around = gather(tape, all, batch.label_rows, batch.label_capacity);
    tape.drop(all);
  }
  const Var activated = activation(tape, model.config.convolution_activation, around);
  tape.drop(around);
  const Var normed = residual_norm(tape, pass.with_adapter(model.convolution_norm), activated, y,
                                   {}, room_of_layer(model, pass, 1));
  tape.drop(y);
  return normed;
}

}  // namespace

Var encode_labelled(const MaskedLm& model, const ForwardPass& pass, bool checkpoint,
                    int64_t n_layers_wanted) {
  Tape& tape = *pass.tape;
  const bool all = n_layers_wanted == kAfterAllLayers || n_layers_wanted == model.config.n_layers;
  const auto n_layers = static_cast<uint32_t>(all ? model.config.n_layers : n_layers_wanted);
  Var x = embed(model, pass);
  if (n_layers == 0) {
    const Var embeddings = x;
    x = gather(tape, embeddings, pass.batch.label_rows, pass.batch.label_capacity);
    tape.drop(embeddings);
  }
  for (uint32_t i = 0; i < n_layers; ++i) {
    const auto layer = checkpoint && tape.recording() ? checkpointed_layer : encoder_layer;
    Var y = layer(model, pass, i, x, i + 1 == n_layers);
    if (i == 0 && model.convolution) y = convolve(model, pass, x, y, i + 1 == n_layers);
    tape.drop(x);
    x = y;
  }
  return all && model.final_norm ? norm(tape, pass.with_adapter(model.final_norm), x) : x;
}

AdaptedBase MaskedLm::adapted_base() const {
  return {.sites = lora_sites(),
          .n_linears = n_linears,
          .parameters = parameters,
          .word_table = word_id,
          .tied_decoder = config.tied_decoder,
          .decoder = config.names.decoder};
}

std::vector<LoraSite> MaskedLm::lora_sites() const {
  std::vector<LoraSite> sites;
  const auto add = [&](const Linear& l) {
    if (l) sites.push_back({l.id, l.module, l.weight.k(), l.weight.n(), l.weight});
  };
  add(embedding_projection);
  for (const EncoderLayer& layer : layers) {
    for (const Linear& part : layer.qkv) add(part);
    for (const Linear& part : layer.distances) add(part);
    add(layer.attention_output);
    for (const Linear& part : layer.ffn_up) add(part);
    add(layer.ffn_down);
  }
  add(head_dense);
  return sites;
}

}  // namespace qe
