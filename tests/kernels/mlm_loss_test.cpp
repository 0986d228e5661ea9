// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/mlm_loss.h"

#include "tests/reference/mlm_loss.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

constexpr StepState kStep{.inverse_labels = 0.125f, .loss_scale = 8.0f};

// A head with its labelled rows.
struct Problem {
  int64_t rows, cols, vocab;
  Matrix hidden, decoder, bias;
  test::StoredMatrix stored;
  test::List<int32_t> labels;

  // n_padding rows of the decoder follow the vocabulary.
  Problem(int64_t n_rows, int64_t n_cols, int64_t n_vocab, DType type = test::compute_type(),
          int64_t n_padding = 0)
      : rows(n_rows),
        cols(n_cols),
        vocab(n_vocab),
        hidden(Matrix::random(rows, cols, 1, cols + 3)),
        decoder(Matrix::random(vocab + n_padding, cols, 2)),
        bias(Matrix::random(1, vocab + n_padding, 3).of_f32()),
        stored(decoder, type) {
    test::Random random(4);
    for (int64_t i = 0; i < rows; ++i) {
      labels.push_back(static_cast<int32_t>(random.next() % static_cast<uint64_t>(vocab)));
    }
  }
  Tensor decoder_view() { return stored.view(); }
  Doubles logits(int64_t row) const {
    Doubles out;
    for (int64_t v = 0; v < vocab; ++v) {
      double sum = static_cast<double>(bias.at(0, v));
      for (int64_t c = 0; c < cols; ++c) {
        sum += static_cast<double>(hidden.at(row, c)) * static_cast<double>(decoder.at(v, c));
      }
      out.push_back(sum);
    }
    return out;
  }
};

struct Outputs {
  Matrix d_hidden, row_loss;
  test::Shared<MlmTotals> sums;
  MlmTotals totals;
  explicit Outputs(const Problem& p)
      : d_hidden(p.rows, p.cols, p.cols + 2), row_loss(Matrix(1, p.rows).of_f32()) {}
};

void run(int n_threads, Problem& p, Outputs& o, float smoothing = 0.0f) {
  run_planned(n_threads, kStep, [&](Context& ctx) {
    mlm_loss(ctx, {.hidden = p.hidden.view(),
                   .decoder = p.decoder_view(),
                   .bias = p.bias.view(),
                   .vocab_size = p.vocab,
                   .labels = p.labels,
                   .d_hidden = o.d_hidden.view(),
                   .row_loss = o.row_loss.view(),
                   .totals = o.sums.pointer(),
                   .label_smoothing = smoothing});
  });
  o.totals = o.sums.get();
}

TEST_CASE("the reference's gradient is that of its loss") {
  const Doubles logits = {0.1, 2.0, -1.0, 0.7};
  constexpr double kDelta = 1e-6;
  for (const double smoothing : {0.0, 0.3}) {
    const auto at = [&](const Doubles& x) { return reference::cross_entropy(x, 2, smoothing); };
    for (size_t i = 0; i < 4; ++i) {
      Doubles up = logits;
      Doubles down = logits;
      up[i] += kDelta;
      down[i] -= kDelta;
      const double slope = (at(up).loss - at(down).loss) / (2 * kDelta);
      CHECK(at(logits).d_logits[i] == doctest::Approx(slope).epsilon(1e-7));
    }
  }
}

DEVICE_TEST_CASE("label smoothing gives the numbers of transformers' LabelSmoother") {
  // float64: x = tensor([[0.5, -1.25, 3, 0.75], [2, 0.25, -0.5, 1.5]]);
  // LabelSmoother(epsilon=0.1)({"logits": x}, tensor([3, 0])), a mean over the two rows; x.grad.
  const double loss = 1.5871939644698037;
  const Doubles gradient = {0.021652321067659196, -0.0065652166439837375, 0.403560447233666,
                            -0.4186475516573415,  -0.19402771046487424,   0.03415348830579189,
                            0.00953754734607077,  0.15033667481301158};
  const float x[8] = {0.5f, -1.25f, 3.0f, 0.75f, 2.0f, 0.25f, -0.5f, 1.5f};
  Problem p(2, 4, 4);  // the decoder is the identity: logits = hidden
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t c = 0; c < 4; ++c) p.hidden.at(i, c) = x[4 * i + c];
  }
  for (int64_t v = 0; v < 4; ++v) {
    p.bias.at(0, v) = 0.0f;
    for (int64_t c = 0; c < 4; ++c) p.decoder.at(v, c) = v == c ? 1.0f : 0.0f;
  }
  p.stored = test::StoredMatrix(p.decoder, test::compute_type());
  p.labels = {3, 0};
  Outputs o(p);
  run(1, p, o, 0.1f);
  CHECK(o.totals.loss / 2 ==
        doctest::Approx(loss).epsilon(test::tolerance(test::Result::kLoss, 1e-6)));
  Doubles halved = test::doubles(o.d_hidden);
  for (double& d : halved) d /= 2;  // kStep scales by 8 * 0.125
  CHECK(test::relative_error(halved, gradient) < test::tolerance(test::Result::kGradients, 1e-6));
}

DEVICE_TEST_CASE("mlm_loss matches float64, whatever the decoder's type") {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const auto& [rows, cols, vocab] : {std::tuple<int64_t, int64_t, int64_t>{1, 16, 17},
                                            {37, 48, 1003},
                                            {3, 5, 1},
                                            {9, 20, 16}}) {
      for (const float smoothing : {0.0f, 0.1f}) {
        CAPTURE(rows);
        CAPTURE(vocab);
        CAPTURE(smoothing);
        if (test::on_gpu() && dtype != test::compute_type()) continue;
        const int64_t n_padding = rows == 37 ? 21 : 0;
        Problem p(rows, cols, vocab, dtype, n_padding);
        Outputs o(p);
        run(2, p, o, smoothing);
        Doubles losses, d_hidden;
        double total = 0.0;
        int64_t n_correct = 0;
        for (int64_t i = 0; i < rows; ++i) {
          const reference::CrossEntropy row = reference::cross_entropy(
              p.logits(i), static_cast<size_t>(p.labels[static_cast<size_t>(i)]),
              static_cast<double>(smoothing));
          losses.push_back(row.loss);
          total += row.loss;
          n_correct += row.correct;
          for (int64_t c = 0; c < cols; ++c) {
            double sum = 0.0;
            for (int64_t v = 0; v < vocab; ++v) {
              sum += row.d_logits[static_cast<size_t>(v)] * static_cast<double>(p.decoder.at(v, c));
            }
            d_hidden.push_back(sum * 8.0 * 0.125);
          }
        }
        if (vocab > 1) {
          CHECK(test::relative_error(o.row_loss, losses) <
                test::tolerance(test::Result::kLoss, 1e-6));
          CHECK(test::relative_error(o.d_hidden, d_hidden) <
                test::tolerance(test::Result::kGradients, 3e-6));
        } else {  // one word: certain
          for (const double v : test::doubles(o.d_hidden)) {
            CHECK(std::abs(v) <= (smoothing > 0.0f ? 1e-7 : 0.0));
          }
        }
        CHECK(o.totals.loss ==
              doctest::Approx(total).epsilon(test::tolerance(test::Result::kLoss, 1e-6)));
        CHECK(o.totals.n_labels == rows);
        CHECK(o.totals.n_correct == n_correct);
      }
    }
  }
}

TEST_CASE("chunks of rows change nothing") {
  const int64_t vocab = 30000;  // 512 rows of logits at a time
  REQUIRE(mlm_loss_chunk_rows(Device{}, vocab) == 512);
  Problem p(515, 4, vocab);
  Outputs o(p);
  run(2, p, o);
  // The last rows, which are in the second chunk, alone.
  Matrix d_hidden(4, 4);
  Matrix row_loss(1, 4);
  run_planned(1, kStep, [&](Context& ctx) {
    mlm_loss(ctx, {.hidden = p.hidden.view().row_range(511, 4),
                   .decoder = p.decoder_view(),
                   .bias = p.bias.view(),
                   .labels = p.labels.span().subspan(511),
                   .d_hidden = d_hidden.view(),
                   .row_loss = row_loss.view()});
  });
  double total = 0.0;
  for (int64_t i = 0; i < 515; ++i) total += static_cast<double>(o.row_loss.at(0, i));
  CHECK(o.totals.loss == total);
  for (int64_t i = 0; i < 4; ++i) {
    CHECK(row_loss.at(0, i) == o.row_loss.at(0, 511 + i));
    for (int64_t c = 0; c < 4; ++c) CHECK(d_hidden.at(i, c) == o.d_hidden.at(511 + i, c));
  }
  CHECK(mlm_loss_chunk_rows(Device{}, 1) == 512);
  CHECK(mlm_loss_chunk_rows(Device{}, 250002) == 67);
  CHECK(mlm_loss_chunk_rows(Device{}, 100000000) == 16);
}

DEVICE_TEST_CASE("rows of several chunks, over a padded vocabulary") {
  const int64_t vocab = (test::small_only() ? 1 << 10 : 1 << 20) - 5;
  const int64_t chunk = mlm_loss_chunk_rows(test::device(), vocab + 5);
  const int64_t rows = chunk + 3;
  Problem p(rows, 4, vocab, test::compute_type(), 5);
  Outputs o(p);
  run(2, p, o);
  Doubles losses;
  double total = 0.0;
  for (const int64_t i : {int64_t{0}, chunk - 1, chunk, rows - 1}) {
    losses.push_back(reference::cross_entropy(
                         p.logits(i), static_cast<size_t>(p.labels[static_cast<size_t>(i)]), 0.0)
                         .loss);
    CHECK(double{o.row_loss.at(0, i)} ==
          doctest::Approx(losses.back()).epsilon(test::tolerance(test::Result::kLoss, 1e-5)));
  }
  for (int64_t i = 0; i < rows; ++i) total += double{o.row_loss.at(0, i)};
  CHECK(o.totals.loss == doctest::Approx(total).epsilon(1e-12));
  CHECK(o.totals.n_labels == rows);
  for (const double v : test::doubles(o.d_hidden)) CHECK(std::isfinite(v));
}

DEVICE_TEST_CASE("a loss without labelled rows, without gradient, and of equal logits") {
  Problem none(0, 8, 30);
  Outputs o(none);
  run(2, none, o);
  CHECK(o.totals.n_labels == 0);
  CHECK(o.totals.loss == 0.0);

  Problem p(20, 8, 30);
  Outputs with(p);
  run(1, p, with);
  test::Shared<MlmTotals> totals;
  run_planned(1, kStep, [&](Context& ctx) {
    ctx.step = nullptr;  // evaluation needs none
    mlm_loss(ctx, {.hidden = p.hidden.view(),
                   .decoder = p.decoder_view(),
                   .bias = p.bias.view(),
                   .labels = p.labels,
                   .totals = totals.pointer()});
  });
  CHECK(totals.get().loss == with.totals.loss);
  CHECK(totals.get().n_correct == with.totals.n_correct);

  // All logits equal: the lowest id is the answer, in whatever lane it lies.
  Matrix zeros(2, 8);
  Matrix zero_decoder(30, 8);
  for (int64_t i = 0; i < 30; ++i) {
    for (int64_t c = 0; c < 8; ++c) zero_decoder.at(i, c) = 0.0f;
  }
  for (int64_t c = 0; c < 8; ++c) zeros.at(0, c) = zeros.at(1, c) = 0.0f;
  const test::List<int32_t> labels = {0, 29};
  test::Shared<MlmTotals> equal;
  run_planned(1, [&](Context& ctx) {
    mlm_loss(ctx, {.hidden = zeros.view(),
                   .decoder = zero_decoder.view(),
                   .labels = labels,
                   .totals = equal.pointer()});
  });
  CHECK(equal.get().n_correct == 1);
  CHECK(equal.get().loss == doctest::Approx(2.0 * std::log(30.0)).epsilon(1e-6));
}

DEVICE_TEST_CASE("a NaN logit makes the loss NaN") {
  Problem p(2, 8, 30);
  p.bias.at(0, 11) = std::nanf("");
  Outputs o(p);
  run(1, p, o);
  CHECK(std::isnan(o.totals.loss));
}

DEVICE_TEST_CASE("mlm_loss gives the same bits everywhere") {
  Problem p(23, 40, 777, test::on_gpu() ? test::compute_type() : DType::kBF16);
  for (const float smoothing : {0.0f, 0.2f}) {
    test::check_same_everywhere([&](int n_threads) {
      Outputs o(p);
      run(n_threads, p, o, smoothing);
      std::vector<uint32_t> bits;
      test::append_bits(bits, o.d_hidden);
      test::append_bits(bits, o.row_loss);
      return bits;
    });
  }
}

// What is trained of a head, and its gradients by float64.
struct Trained {
  int64_t rows_of_gradient;
  Matrix d_decoder, d_bias, replacements, d_replaced;
  test::List<int32_t> ids, slots;
  Doubles expected_hidden, expected_decoder, expected_bias, expected_replaced, losses;

  // n_more: rows of gradients beyond the vocabulary.
  Trained(const Problem& p, std::vector<int32_t> replaced, int64_t n_more = 0)
      : rows_of_gradient(p.vocab + n_more),
        d_decoder(Matrix::random(rows_of_gradient, p.cols, 11, p.cols + 1).of_f32()),
        d_bias(Matrix::random(1, rows_of_gradient, 12).of_f32()),
        replacements(Matrix::random(static_cast<int64_t>(replaced.size()), p.cols, 13)),
        d_replaced(
            Matrix::random(static_cast<int64_t>(replaced.size()), p.cols, 14, p.cols + 5).of_f32()),
        ids(std::move(replaced)) {}

  ReplacedRows rows() {
    return ids.empty() ? ReplacedRows{}
                       : ReplacedRows{.ids = ids.span(), .rows = replacements.view()};
  }
  // The decoder with replaced rows in their places.
  double weight(const Problem& p, int64_t v, int64_t c) const {
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == v) return double{replacements.at(static_cast<int64_t>(i), c)};
    }
    return double{p.decoder.at(v, c)};
  }
  void expect(const Problem& p, float smoothing) {
    expected_decoder = test::doubles(d_decoder);
    expected_bias = test::doubles(d_bias);
    expected_replaced = test::doubles(d_replaced);
    const size_t cols = static_cast<size_t>(p.cols);
    std::vector<double> weights;
    for (int64_t v = 0; v < p.vocab; ++v) {
      for (int64_t c = 0; c < p.cols; ++c) weights.push_back(weight(p, v, c));
    }
    std::vector<double*> to;  // where a word's gradient goes
    for (int64_t v = 0; v < p.vocab; ++v) {
      to.push_back(&expected_decoder[static_cast<size_t>(v) * cols]);
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      to[static_cast<size_t>(ids[i])] = &expected_replaced[i * cols];
    }
    for (int64_t i = 0; i < p.rows; ++i) {
      Doubles logits, d_hidden(cols, 0.0);
      for (int64_t v = 0; v < p.vocab; ++v) {
        double sum = double{p.bias.at(0, v)};
        for (int64_t c = 0; c < p.cols; ++c) {
          sum += double{p.hidden.at(i, c)} * weights[static_cast<size_t>(v * p.cols + c)];
        }
        logits.push_back(sum);
      }
      const reference::CrossEntropy row = reference::cross_entropy(
          logits, static_cast<size_t>(p.labels[static_cast<size_t>(i)]), double{smoothing});
      losses.push_back(row.loss);
      for (size_t v = 0; v < row.d_logits.size(); ++v) {
        const double d = row.d_logits[v];  // kStep scales by 8 * 0.125
        expected_bias[v] += d;
        for (size_t c = 0; c < cols; ++c) {
          to[v][c] += d * double{p.hidden.at(i, static_cast<int64_t>(c))};
          d_hidden[c] += d * weights[v * cols + c];
        }
      }
      expected_hidden.insert(expected_hidden.end(), d_hidden.begin(), d_hidden.end());
    }
  }
};

void run_trained(int n_threads, Problem& p, Outputs& o, Trained& trained, bool wants_hidden = true,
                 float smoothing = 0.0f) {
  run_planned(n_threads, kStep, [&](Context& ctx) {
    mlm_loss(ctx, {.hidden = p.hidden.view(),
                   .decoder = p.decoder_view(),
                   .bias = p.bias.view(),
                   .vocab_size = p.vocab,
                   .labels = p.labels,
                   .d_hidden = wants_hidden ? o.d_hidden.view() : Tensor{},
                   .row_loss = o.row_loss.view(),
                   .totals = o.sums.pointer(),
                   .label_smoothing = smoothing,
                   .d_decoder = trained.d_decoder.view(),
                   .d_bias = trained.d_bias.view(),
                   .replaced = trained.rows(),
                   .d_replaced = trained.ids.empty() ? Tensor{} : trained.d_replaced.view()});
  });
  o.totals = o.sums.get();
}

DEVICE_TEST_CASE("gradients of the decoder, its bias and replaced rows against float64") {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (test::on_gpu() && dtype != test::compute_type()) continue;
    for (const std::vector<int32_t>& ids :
         {std::vector<int32_t>{}, {5}, {1002, 0, 517, 44, 45, 46, 700, 3, 999, 64}}) {
      for (const auto& [n_padding, n_more] :
           {std::pair<int64_t, int64_t>{0, 0}, {21, 0}, {21, 21}, {21, 5}}) {
        const float smoothing = n_more == 5 ? 0.1f : 0.0f;
        CAPTURE(ids.size());
        CAPTURE(n_more);
        Problem p(37, 48, 1003, dtype, n_padding);
        if (!ids.empty()) p.labels[7] = ids[0];
        Trained trained(p, ids, n_more);
        Outputs o(p);
        trained.expect(p, smoothing);
        run_trained(2, p, o, trained, true, smoothing);
        const double allowed = test::tolerance(test::Result::kGradients, 3e-6);
        CHECK(test::relative_error(o.row_loss, trained.losses) <
              test::tolerance(test::Result::kLoss, 1e-6));
        CHECK(test::relative_error(o.d_hidden, trained.expected_hidden) < allowed);
        CHECK(test::relative_error(trained.d_decoder, trained.expected_decoder) < allowed);
        CHECK(test::relative_error(trained.d_bias, trained.expected_bias) < allowed);
        if (ids.empty()) continue;
        CHECK(test::relative_error(trained.d_replaced, trained.expected_replaced) < allowed);
        const Trained before(p, ids, n_more);
        for (int64_t c = 0; c < 48; ++c) {
          CHECK(trained.d_decoder.at(ids[0], c) == before.d_decoder.at(ids[0], c));
        }
      }
    }
  }
}

DEVICE_TEST_CASE("gradients of the decoder over several chunks, and without d_hidden") {
  const int64_t vocab = test::small_only() ? 1000 : 30000;
  const int64_t rows = mlm_loss_chunk_rows(test::device(), vocab) + 3;
  const std::vector<int32_t> ids = {77, static_cast<int32_t>(vocab - 1)};
  Problem p(rows, 4, vocab);
  Trained trained(p, ids), alone(p, ids);
  Outputs o(p), without(p);
  trained.expect(p, 0.0f);
  run_trained(2, p, o, trained);
  run_trained(1, p, without, alone, false);
  const double allowed = test::tolerance(test::Result::kGradients, 1e-5);
  CHECK(test::relative_error(trained.d_decoder, trained.expected_decoder) < allowed);
  CHECK(test::relative_error(trained.d_bias, trained.expected_bias) < allowed);
  CHECK(test::relative_error(trained.d_replaced, trained.expected_replaced) < allowed);
  CHECK(test::count_different(alone.d_decoder, trained.d_decoder) == 0);
  CHECK(test::count_different(alone.d_bias, trained.d_bias) == 0);
  CHECK(test::count_different(alone.d_replaced, trained.d_replaced) == 0);
  // d_hidden in hidden's place.
  Trained again(p, ids);
  Outputs in_place(p);
  in_place.d_hidden = p.hidden;
  const Tensor hidden = in_place.d_hidden.view();
  run_planned(2, kStep, [&](Context& ctx) {
    mlm_loss(ctx, {.hidden = hidden,
                   .decoder = p.decoder_view(),
                   .bias = p.bias.view(),
                   .labels = p.labels,
                   .d_hidden = hidden,
                   .d_decoder = again.d_decoder.view(),
                   .replaced = again.rows(),
                   .d_replaced = again.d_replaced.view()});
  });
  CHECK(test::count_different(again.d_decoder, trained.d_decoder) == 0);
  CHECK(test::count_different(again.d_replaced, trained.d_replaced) == 0);
  CHECK(test::count_different(in_place.d_hidden, o.d_hidden) == 0);
}

TEST_CASE("gradients of the decoder: chunks of rows change no bit") {
  Problem p(515, 4, 30000);
  Trained trained(p, {5, 6}), parts(p, {5, 6});
  Outputs o(p), part_outputs(p);
  run_trained(2, p, o, trained);
  for (const auto& [begin, n] : {std::pair<int64_t, int64_t>{0, 100}, {100, 415}}) {
    run_planned(1, kStep, [&](Context& ctx) {
      mlm_loss(ctx, {.hidden = p.hidden.view().row_range(begin, n),
                     .decoder = p.decoder_view(),
                     .bias = p.bias.view(),
                     .labels = p.labels.span().subspan(static_cast<size_t>(begin),
                                                       static_cast<size_t>(n)),
                     .d_decoder = parts.d_decoder.view(),
                     .d_bias = parts.d_bias.view(),
                     .replaced = parts.rows(),
                     .d_replaced = parts.d_replaced.view()});
    });
  }
  CHECK(test::count_different(trained.d_decoder, parts.d_decoder) == 0);
  CHECK(test::count_different(trained.d_bias, parts.d_bias) == 0);
  CHECK(test::count_different(trained.d_replaced, parts.d_replaced) == 0);
}

DEVICE_TEST_CASE("a replaced row is a row of the decoder") {
  Problem p(19, 24, 200);
  const std::vector<int32_t> ids = {199, 3, 64};
  Trained trained(p, ids);
  Outputs o(p);
  run_trained(2, p, o, trained);
  Problem changed = p;
  for (size_t i = 0; i < ids.size(); ++i) {
    for (int64_t c = 0; c < 24; ++c) {
      changed.decoder.at(ids[i], c) = trained.replacements.at(static_cast<int64_t>(i), c);
    }
  }
  changed.stored = test::StoredMatrix(changed.decoder, test::compute_type());
  Outputs expected(changed);
  run(2, changed, expected);
  CHECK(o.totals.n_correct == expected.totals.n_correct);
  Matrix logits = Matrix(19, 200, 203).of_f32(), other = Matrix(19, 200).of_f32();
  for (const bool biased : {true, false}) {
    const Tensor bias = biased ? p.bias.view() : Tensor{};
    run_planned(1, [&](Context& ctx) {
      mlm_logits(ctx, p.hidden.view(), p.decoder_view(), bias, logits.view(), trained.rows());
      mlm_logits(ctx, p.hidden.view(), changed.decoder_view(), bias, other.view());
    });
    CHECK(logits.guards_intact());
    if (test::on_gpu()) {
      CHECK(test::relative_error(logits, test::doubles(other)) < 1e-5);
    } else {
      CHECK(logits.bits() == other.bits());
    }
  }
  if (!test::on_gpu()) CHECK(o.row_loss.bits() == expected.row_loss.bits());
}

DEVICE_TEST_CASE("gradients of the decoder are the same bits everywhere") {
  Problem p(23, 40, 777, test::on_gpu() ? test::compute_type() : DType::kBF16);
  test::check_same_everywhere([&](int n_threads) {
    Outputs o(p);
    Trained trained(p, {700, 8, 9});
    run_trained(n_threads, p, o, trained);
    std::vector<uint32_t> bits;
    for (const Matrix* m :
         {&o.d_hidden, &o.row_loss, &trained.d_decoder, &trained.d_bias, &trained.d_replaced}) {
      test::append_bits(bits, *m);
    }
    return bits;
  });
}

TEST_CASE("mlm_logits is the decoder's product") {
  Problem p(3, 20, 50);
  Matrix logits(3, 50, 53);
  run_planned(2, [&](Context& ctx) {
    mlm_logits(ctx, p.hidden.view(), p.decoder_view(), p.bias.view(), logits.view());
  });
  Doubles expected;
  for (int64_t i = 0; i < 3; ++i) {
    const Doubles row = p.logits(i);
    expected.insert(expected.end(), row.begin(), row.end());
  }
  CHECK(test::relative_error(logits, expected) < 1e-6);
}

TEST_CASE("mlm_loss's contract") {
  Problem p(3, 8, 30);
  const auto error = [&] {
    return test::error_of([&] {
      Outputs o(p);
      run(1, p, o);
    });
  };
  p.labels[1] = 30;
  CHECK(error() == "mlm_loss: labels[1] is 30, expected 0 .. 29");
  p.labels[1] = -100;
  CHECK(error() == "mlm_loss: labels[1] is -100, expected 0 .. 29");
  p.labels[1] = 0;
  CHECK(test::error_of([&] {
          Outputs o(p);
          run(1, p, o, 1.0f);
        }) == "mlm_loss: expected label smoothing in [0, 1), got 1");
  const auto trained_error = [&](const std::function<void(Trained&)>& change) {
    Trained trained(p, {4, 7});
    change(trained);
    return test::error_of([&] {
      Outputs o(p);
      run_trained(1, p, o, trained);
    });
  };
  CHECK(trained_error([](Trained&) {}).empty());
  CHECK(trained_error([](Trained& t) { t.ids[1] = 30; }) ==
        "mlm_loss: replaced id [1] is 30, expected 0 .. 29");
  CHECK(trained_error([](Trained& t) { t.ids.push_back(1); }) ==
        "mlm_loss: expected replaced rows of 3 x 8, got 2 x 8");
  CHECK(trained_error([](Trained& t) { t.d_replaced = Matrix(3, 8); }) ==
        "mlm_loss: expected d_replaced of 2 x 8, got 3 x 8");
  CHECK(trained_error([](Trained& t) { t.d_decoder = Matrix(31, 8); }) ==
        "mlm_loss: expected d_decoder of 30 to 30 words, got 31");
  CHECK(trained_error([](Trained& t) { t.d_bias = Matrix(1, 29); }) ==
        "mlm_loss: expected d_bias of 30 to 30 words, got 29");
  p.labels = test::List<int32_t>{0, 0};
  CHECK(error() == "mlm_loss: expected 3 labels, got 2");
}

}  // namespace
}  // namespace qe
