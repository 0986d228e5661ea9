// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/attention.h"

#include <numeric>

#include "tests/reference/attention.h"
#include "tests/reference/dropout.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

constexpr StepState kStep{.seed = 31, .epoch = 4};

// A GPU's tensor cores need rows that begin at multiples of 16 bytes; other kernels do not.
enum class Rows { kAligned, kOdd };

// What is not plain about a kind of attention.
struct Variant {
  int64_t n_kv_heads = 0;
  int64_t window = 0;
  bool relative_bias = false;
};

// A packed batch with forward's and backward's results.
struct Batch {
  test::List<int32_t> starts = {0};
  test::List<uint32_t> samples;
  AttentionShape shape;
  Matrix qkv, d_out, out, lse, d_qkv, bias;

  Batch(const std::vector<int32_t>& lengths, int64_t n_heads, int64_t head_dim, float p,
        Rows order = Rows::kOdd, const Variant& variant = {})
      : qkv(0, 1), d_out(0, 1), out(0, 1), lse(0, 1), d_qkv(0, 1), bias(0, 1) {
    for (const int32_t length : lengths) {
      samples.push_back(100 + static_cast<uint32_t>(samples.size()));
      starts.push_back(starts.back() + length);
    }
    const int64_t rows = starts.back();
    const int64_t cols = n_heads * head_dim;
    const int64_t unit = order == Rows::kAligned ? 8 : 1;
    const int64_t kv_heads = variant.n_kv_heads > 0 ? variant.n_kv_heads : n_heads;
    const int64_t qkv_cols = cols + 2 * kv_heads * head_dim;
    qkv = Matrix::random(rows, qkv_cols, 1, qkv_cols + 5 * unit);
    d_out = Matrix::random(rows, cols, 2, cols + 3 * unit);
    out = Matrix(rows, cols, cols + unit);
    lse = Matrix(rows, n_heads, n_heads + 2).of_f32();
    d_qkv = Matrix(rows, qkv_cols, qkv_cols + 7 * unit);
    for (int64_t i = 0; i < rows; ++i) {
      // Scores of a few units: softmax rows that are neither flat nor one-hot.
      for (int64_t j = 0; j < qkv_cols; ++j) qkv.at(i, j) = test::rounded(qkv.at(i, j) * 2.5f);
    }
    shape = {.max_length = *std::max_element(lengths.begin(), lengths.end()),
             .n_heads = n_heads,
             .n_kv_heads = variant.n_kv_heads,
             .head_dim = head_dim,
             .window = variant.window,
             .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
             .dropout_p = p,
             .layer = 2};
    if (variant.relative_bias) {
      bias = Matrix::random(n_heads, 2 * (shape.max_length + 3) - 1, 3).of_f32();
    }
  }
  void run(int n_threads) {
    shape.cu_seqlens = starts.span();
    shape.sample_ids = samples.span();
    if (bias.rows() > 0) shape.relative_bias = bias.view();
    run_planned(n_threads, kStep, [&](Context& ctx) {
      attention_forward(ctx, shape, qkv.view(), out.view(), lse.view());
      attention_backward(ctx, shape, qkv.view(), out.view(), lse.view(), d_out.view(),
                         d_qkv.view());
    });
  }
  std::vector<uint32_t> bits() const {
    std::vector<uint32_t> all;
    for (const Matrix* m : {&out, &lse, &d_qkv}) test::append_bits(all, *m);
    return all;
  }
};

// Columns [col, col + n) of the rows of one sequence.
Doubles slice(const Matrix& m, int64_t row, int64_t n_rows, int64_t col, int64_t n) {
  Doubles out;
  for (int64_t i = row; i < row + n_rows; ++i) {
    for (int64_t j = col; j < col + n; ++j) out.push_back(static_cast<double>(m.at(i, j)));
  }
  return out;
}

// The column of k (part 1) or v (part 2) that a head of queries reads.
int64_t key_column(const Batch& b, int64_t part, int64_t head) {
  const int64_t group = b.shape.n_heads / b.shape.kv_heads();
  return (b.shape.n_heads + (part - 1) * b.shape.kv_heads() + head / group) * b.shape.head_dim;
}

reference::AttentionInput reference_input(const Batch& b, size_t sequence, int64_t head) {
  const int64_t row = b.starts[sequence];
  const int64_t n = b.starts[sequence + 1] - row;
  const int64_t dim = b.shape.head_dim;
  return {.length = static_cast<size_t>(n),
          .dim = static_cast<size_t>(dim),
          .scale = static_cast<double>(b.shape.scale),
          .q = slice(b.qkv, row, n, head * dim, dim),
          .k = slice(b.qkv, row, n, key_column(b, 1, head), dim),
          .v = slice(b.qkv, row, n, key_column(b, 2, head), dim),
          .keep_scale =
              [&b, sequence, head](size_t query, size_t key) {
                return reference::keep_scale(
                    {kStep.seed, RandomPurpose::kAttentionDropout, b.samples[sequence], kStep.epoch,
                     b.shape.layer, static_cast<uint32_t>(head), static_cast<uint32_t>(query),
                     static_cast<uint32_t>(key)},
                    static_cast<double>(b.shape.dropout_p));
              },
          .bias =
              [&b, head](size_t query, size_t key) {
                const int64_t distance = static_cast<int64_t>(query) - static_cast<int64_t>(key);
                if (b.shape.window > 0 && std::abs(distance) > b.shape.window) return -INFINITY;
                if (b.bias.rows() == 0) return 0.0f;
                return b.bias.at(head, distance + b.bias.cols() / 2);
              }};
}

// Found and expected, over the heads that an error is measured over.
struct Compared {
  Doubles found, expected;
  void add(const Doubles& more_found, const Doubles& more_expected) {
    found.insert(found.end(), more_found.begin(), more_found.end());
    expected.insert(expected.end(), more_expected.begin(), more_expected.end());
  }
  double error() const { return test::relative_error(found, expected); }
};

// Over all sequences and heads: where a softmax is sharp, dP - D is a small difference of rounded
// numbers, and a short sequence may be nothing else.
struct Errors {
  Compared out, lse, dq, dk, dv;
  void check() const {
    if (out.found.empty()) return;
    const bool wide = test::compute_type() == DType::kF32;
    CHECK(out.error() < test::tolerance(test::Result::kAttention, 2e-6));
    for (size_t i = 0; i < lse.found.size(); ++i) {  // of scores up to 20 or so
      if (!(std::fabs(lse.found[i] - lse.expected[i]) < 1e-5)) FAIL_CHECK("lse ", i);
    }
    CHECK(dv.error() < (wide ? 3e-6 : test::tolerance(test::Result::kGradients, 0.0)));
    if (!dq.found.empty()) {  // dP - D cancels
      CHECK(dq.error() < test::tolerance(test::Result::kGradients, 1e-5));
      CHECK(dk.error() < test::tolerance(test::Result::kGradients, 1e-5));
    }
  }
};

void check_against_reference(const Batch& b) {
  CHECK(b.out.guards_intact());
  CHECK(b.lse.guards_intact());
  CHECK(b.d_qkv.guards_intact());
  const int64_t dim = b.shape.head_dim;
  const int64_t group = b.shape.n_heads / b.shape.kv_heads();
  const bool wide = test::compute_type() == DType::kF32;
  Errors errors;
  for (size_t s = 0; s + 1 < b.starts.size(); ++s) {
    const int64_t row = b.starts[s];
    const int64_t n = b.starts[s + 1] - row;
    Doubles dk, dv;  // of a head of keys and values: the sum over the heads that read it
    const auto add = [](Doubles& sum, const Doubles& more, bool first) {
      if (first) sum.assign(more.size(), 0.0);
      for (size_t i = 0; i < more.size(); ++i) sum[i] += more[i];
    };
    for (int64_t head = 0; head < b.shape.n_heads; ++head) {
      CAPTURE(n);
      CAPTURE(head);
      const reference::AttentionInput in = reference_input(b, s, head);
      const reference::AttentionOutput out = reference::attention(in);
      const reference::AttentionGradient gradient =
          reference::attention_gradient(in, slice(b.d_out, row, n, head * dim, dim));
      errors.out.add(slice(b.out, row, n, head * dim, dim), out.out);
      errors.lse.add(slice(b.lse, row, n, head, 1), out.lse);
      const auto part = [&](int64_t at) {
        return slice(b.d_qkv, row, n, at == 0 ? head * dim : key_column(b, at, head), dim);
      };
      add(dk, gradient.dk, head % group == 0);
      add(dv, gradient.dv, head % group == 0);
      const bool last = (head + 1) % group == 0;
      if (last) errors.dv.add(part(2), dv);
      if (n == 1) {  // one key: the probability is 1 whatever q and k are
        for (const int64_t at : {0, 1}) {
          for (const double v : part(at)) CHECK(std::fabs(v) < (wide ? 1e-5 : 0.05));
        }
      } else {
        errors.dq.add(part(0), gradient.dq);
        if (last) errors.dk.add(part(1), dk);
      }
    }
  }
  errors.check();
}

TEST_CASE("the reference's gradients are those of its value") {
  Batch b({9}, 1, 4, 0.3f);
  reference::AttentionInput in = reference_input(b, 0, 0);
  const Doubles d_out = slice(b.d_out, 0, 9, 0, 4);
  const reference::AttentionGradient gradient = reference::attention_gradient(in, d_out);
  const auto value = [&] {
    const Doubles out = reference::attention(in).out;
    return std::inner_product(out.begin(), out.end(), d_out.begin(), 0.0);
  };
  constexpr double kDelta = 1e-6;
  const auto check = [&](Doubles& input, const Doubles& slopes) {
    for (size_t i = 0; i < input.size(); ++i) {
      const double at = input[i];
      input[i] = at + kDelta;
      const double up = value();
      input[i] = at - kDelta;
      const double down = value();
      input[i] = at;
      CHECK(std::fabs(slopes[i] - (up - down) / (2 * kDelta)) < 1e-8);
    }
  };
  check(in.q, gradient.dq);
  check(in.k, gradient.dk);
  check(in.v, gradient.dv);
}

DEVICE_TEST_CASE("attention matches float64 for all head sizes") {
  for (const int64_t dim : {1, 16, 24, 32, 64, 80, 96, 128}) {
    for (const float p : {0.0f, 0.15f}) {
      for (const Rows rows : {Rows::kAligned, Rows::kOdd}) {
        CAPTURE(dim);
        CAPTURE(p);
        CAPTURE(static_cast<int>(rows));
        Batch b({1, 17, 40, 2, 133}, 2, dim, p, rows);
        b.run(2);
        check_against_reference(b);
      }
    }
  }
}

DEVICE_TEST_CASE("attention with windows, biases and shared heads of keys matches float64") {
  const Variant variants[] = {
      {.window = 1},           {.window = 8},
      {.window = 64},          {.window = 1000},
      {.n_kv_heads = 1},       {.n_kv_heads = 2},
      {.relative_bias = true}, {.n_kv_heads = 2, .window = 33, .relative_bias = true}};
  const std::vector<int32_t> lengths = test::sizes<int32_t>({1, 17, 150, 2, 64, 300}, {1, 17, 150});
  for (const Variant& variant : variants) {
    for (const float p : test::sizes<float>({0.0f, 0.15f}, {0.15f})) {
      for (const int64_t dim : test::sizes<int64_t>({8, 24, 64}, {24, 64})) {
        CAPTURE(variant.window);
        CAPTURE(variant.n_kv_heads);
        CAPTURE(dim);
        CAPTURE(p);
        Batch b(lengths, 4, dim, p, Rows::kAligned, variant);
        b.run(2);
        check_against_reference(b);
      }
    }
  }
  test::check_same_everywhere([&](int n_threads) {
    Batch b({140, 7, 33}, 4, 24, 0.1f, Rows::kAligned,
            {.n_kv_heads = 2, .window = 20, .relative_bias = true});
    b.run(n_threads);
    return b.bits();
  });
}

DEVICE_TEST_CASE("attention with terms by distance matches float64, with their gradients") {
  constexpr int64_t kColumns = 12;
  for (const float p : {0.0f, 0.2f}) {
    for (const int64_t dim : {16, 24}) {
      CAPTURE(p);
      CAPTURE(dim);
      Batch b({1, 40, 2, 150}, 2, dim, p, Rows::kAligned);
      const int64_t rows = b.starts.back();
      Matrix query_terms = Matrix(rows, 2 * kColumns, 2 * kColumns + 1).of_f32();
      Matrix key_terms = Matrix(rows, 2 * kColumns).of_f32();
      const Matrix random = Matrix::random(rows, 4 * kColumns, 5);
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t c = 0; c < 2 * kColumns; ++c) {
          query_terms.at(t, c) = random.at(t, c);
          key_terms.at(t, c) = random.at(t, 2 * kColumns + c);
        }
      }
      Matrix d_query_terms = Matrix(rows, 2 * kColumns, 2 * kColumns + 3).of_f32();
      Matrix d_key_terms = Matrix(rows, 2 * kColumns).of_f32();
      // Columns never descend, and several distances share one, as buckets by logarithm do.
      test::List<int32_t> columns;
      const auto column_of = [](int64_t distance) {
        const int64_t size =
            std::abs(distance) > 3 ? 3 + std::abs(distance) / 30 : std::abs(distance);
        return std::clamp<int64_t>((distance < 0 ? -size : size) + 6, 0, kColumns - 1);
      };
      for (int64_t d = -151; d <= 151; ++d) columns.push_back(static_cast<int32_t>(column_of(d)));
      b.shape.cu_seqlens = b.starts.span();
      b.shape.sample_ids = b.samples.span();
      b.shape.query_terms = query_terms.view();
      b.shape.key_terms = key_terms.view();
      b.shape.distance_columns = columns.span();
      b.shape.n_distance_columns = kColumns;
      run_planned(2, kStep, [&](Context& ctx) {
        attention_forward(ctx, b.shape, b.qkv.view(), b.out.view(), b.lse.view());
        attention_backward(ctx, b.shape, b.qkv.view(), b.out.view(), b.lse.view(), b.d_out.view(),
                           b.d_qkv.view(), {d_query_terms.view(), d_key_terms.view()});
      });
      CHECK(d_query_terms.guards_intact());
      Compared out, dq, d_of_queries, d_of_keys;
      for (size_t s = 0; s + 1 < b.starts.size(); ++s) {
        const int64_t row = b.starts[s];
        const int64_t n = b.starts[s + 1] - row;
        for (int64_t head = 0; head < 2; ++head) {
          reference::AttentionInput in = reference_input(b, s, head);
          const auto at = [&](size_t query, size_t key) {
            return head * kColumns +
                   column_of(static_cast<int64_t>(query) - static_cast<int64_t>(key));
          };
          in.bias = [&](size_t query, size_t key) {
            const int64_t c = at(query, key);
            return static_cast<double>(query_terms.at(row + static_cast<int64_t>(query), c)) +
                   static_cast<double>(key_terms.at(row + static_cast<int64_t>(key), c));
          };
          out.add(slice(b.out, row, n, head * dim, dim), reference::attention(in).out);
          const reference::AttentionGradient gradient =
              reference::attention_gradient(in, slice(b.d_out, row, n, head * dim, dim));
          dq.add(slice(b.d_qkv, row, n, head * dim, dim), gradient.dq);
          Doubles of_queries(static_cast<size_t>(n * kColumns), 0.0);
          Doubles of_keys = of_queries;
          for (size_t q = 0; q < static_cast<size_t>(n); ++q) {
            for (size_t k = 0; k < static_cast<size_t>(n); ++k) {
              const auto c = static_cast<size_t>(at(q, k) - head * kColumns);
              const double d = gradient.d_scores[q * static_cast<size_t>(n) + k];
              of_queries[q * kColumns + c] += d;
              of_keys[k * kColumns + c] += d;
            }
          }
          d_of_queries.add(slice(d_query_terms, row, n, head * kColumns, kColumns), of_queries);
          d_of_keys.add(slice(d_key_terms, row, n, head * kColumns, kColumns), of_keys);
        }
      }
      CHECK(out.error() < test::tolerance(test::Result::kAttention, 2e-6));
      CHECK(dq.error() < test::tolerance(test::Result::kGradients, 1e-5));
      CHECK(d_of_queries.error() < test::tolerance(test::Result::kGradients, 1e-5));
      CHECK(d_of_keys.error() < test::tolerance(test::Result::kGradients, 1e-5));
    }
  }
}

DEVICE_TEST_CASE("attention matches float64 for awkward lengths") {
  for (const std::vector<int32_t>& lengths : {std::vector<int32_t>{1},
                                              {15, 16, 17, 31, 32, 33},
                                              {127},
                                              {128},
                                              {129},
                                              {64, 65, 63},
                                              {300, 1, 2, 3, 5, 1, 16, 4}}) {
    CAPTURE(lengths[0]);
    for (const float p : {0.0f, 0.1f}) {
      CAPTURE(p);
      for (const int64_t dim : {24, 80}) {
        Batch b(lengths, 1, dim, p, Rows::kAligned);
        b.run(2);
        check_against_reference(b);
      }
    }
  }
}

DEVICE_TEST_CASE("attention matches float64 for long sequences") {
  for (const int64_t dim : {64, 128}) {
    for (const float p : {0.0f, 0.1f}) {
      CAPTURE(dim);
      CAPTURE(p);
      Batch b({500, 512, 513}, 1, dim, p, Rows::kAligned);
      b.run(2);
      check_against_reference(b);
    }
  }
  // Longer than a GPU's backward passes hand drops to each other.
  for (const int64_t dim : {16, 96}) {
    CAPTURE(dim);
    Batch b({1030, 3, 200}, 1, dim, 0.1f, Rows::kAligned);
    b.run(2);
    check_against_reference(b);
  }
  // More sequences than a warp has lanes, empty ones among them.
  std::vector<int32_t> lengths = {700};
  for (int32_t i = 0; i < 1100; ++i) lengths.push_back(i % 7);
  Batch b(lengths, 1, 16, 0.1f, Rows::kAligned);
  b.run(2);
  check_against_reference(b);
}

DEVICE_TEST_CASE("attention skips empty sequences and empty batches") {
  for (const Rows rows : {Rows::kAligned, Rows::kOdd}) {
    Batch b({0, 20, 0, 3, 0}, 2, 16, 0.0f, rows);
    b.run(2);
    check_against_reference(b);
    Batch none({0}, 2, 16, 0.0f, rows);
    none.run(2);
    CHECK(none.bits().empty());
  }
}

DEVICE_TEST_CASE("attention of large scores stays finite and sharp") {
  for (const int32_t n : {33, 150}) {
    Batch b({n}, 1, 16, 0.0f, Rows::kAligned);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < 32; ++j) b.qkv.at(i, j) = test::rounded(b.qkv.at(i, j) * 40.0f);
    }
    b.run(1);
    const reference::AttentionOutput out = reference::attention(reference_input(b, 0, 0));
    // Scores of thousands are rounded to 1e-4 or so, and so are probabilities, relatively.
    CHECK(test::relative_error(b.out, out.out) <
          1e-3 + test::tolerance(test::Result::kAttention, 0));
    for (const double v : test::doubles(b.d_qkv)) CHECK(std::isfinite(v));
  }
}

DEVICE_TEST_CASE("attention of a sequence has the same bits alone and in company") {
  const std::vector<int32_t> lengths = {50, 30, 129, 128, 260};
  for (const int64_t dim : {16, 64, 80, 128}) {
    for (const Rows rows : {Rows::kAligned, Rows::kOdd}) {
      CAPTURE(dim);
      Batch together(lengths, 2, dim, 0.3f, rows);
      together.run(2);
      for (const size_t s : {size_t{1}, size_t{2}, size_t{4}}) {
        Batch alone({lengths[s]}, 2, dim, 0.3f, rows);
        alone.samples = {together.samples[s]};
        const int64_t first = together.starts[s];
        for (int64_t i = 0; i < lengths[s]; ++i) {
          for (int64_t j = 0; j < 6 * dim; ++j) alone.qkv.at(i, j) = together.qkv.at(first + i, j);
          for (int64_t j = 0; j < 2 * dim; ++j) {
            alone.d_out.at(i, j) = together.d_out.at(first + i, j);
          }
        }
        alone.run(1);
        int64_t n_different = 0;
        for (int64_t i = 0; i < lengths[s]; ++i) {
          for (int64_t j = 0; j < 2 * dim; ++j) {
            n_different += alone.out.at(i, j) != together.out.at(first + i, j);
          }
          for (int64_t j = 0; j < 6 * dim; ++j) {
            n_different += alone.d_qkv.at(i, j) != together.d_qkv.at(first + i, j);
          }
        }
        CHECK(n_different == 0);
      }
    }
  }
}

DEVICE_TEST_CASE("attention drops its share of the probabilities") {
  // With v = 1 and equal scores an output is (kept keys) / ((1 - p) length).
  const int32_t n = 200;
  Batch share({n}, 1, 16, 0.3f, Rows::kAligned);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < 48; ++j) share.qkv.at(i, j) = j < 32 ? 0.0f : 1.0f;
  }
  share.run(1);
  double mean = 0.0;
  for (int64_t i = 0; i < n; ++i) mean += static_cast<double>(share.out.at(i, 0)) / n;
  const double sigma = std::sqrt(0.3 / 0.7) / n;
  CHECK(std::fabs(mean - 1.0) < 5 * sigma);
  CHECK(std::fabs(mean - 1.0) > 0.0);
}

TEST_CASE("attention's backward is the slope of its forward, with dropout") {
  // Finite differences of the op itself: the mask must be the same in both directions.
  Batch b({21}, 1, 16, 0.4f);
  b.run(1);
  const auto value = [&] {
    double sum = 0.0;
    run_planned(1, kStep, [&](Context& ctx) {
      attention_forward(ctx, b.shape, b.qkv.view(), b.out.view(), b.lse.view());
    });
    for (int64_t i = 0; i < 21; ++i) {
      for (int64_t j = 0; j < 16; ++j) {
        sum += static_cast<double>(b.out.at(i, j)) * static_cast<double>(b.d_out.at(i, j));
      }
    }
    return sum;
  };
  constexpr float kDelta = 1e-2f;
  double largest = 0.0;
  for (int64_t j = 0; j < 48; ++j) {
    const int64_t row = (j * 5) % 21;
    const float at = b.qkv.at(row, j);
    b.qkv.at(row, j) = at + kDelta;
    const double up = value();
    b.qkv.at(row, j) = at - kDelta;
    const double down = value();
    b.qkv.at(row, j) = at;
    const double slope = (up - down) / (2.0 * static_cast<double>(kDelta));
    CHECK(std::fabs(slope - static_cast<double>(b.d_qkv.at(row, j))) < 2e-3);
    largest = std::max(largest, std::fabs(slope));
  }
  CHECK(largest > 0.1);
}

DEVICE_TEST_CASE("attention gives the same bits everywhere") {
  for (const float p : {0.0f, 0.1f}) {
    test::check_same_everywhere([&](int n_threads) {
      Batch b({140, 7, 33}, 2, 24, p, Rows::kAligned);
      b.run(n_threads);
      return b.bits();
    });
  }
}

TEST_CASE("attention's scratch grows with the length, not its square") {
  ThreadPool threads(2);
  const Context ctx{.threads = &threads};
  const auto bytes = [&](int64_t length, bool backward) {
    const std::vector<int32_t> starts = {0, static_cast<int32_t>(length)};
    return attention_workspace_bytes(
        ctx,
        {.cu_seqlens = starts, .max_length = length, .n_heads = 12, .head_dim = 64, .scale = 1.0f},
        length, backward);
  };
  for (const bool backward : {false, true}) {
    CHECK(bytes(8192, backward) < 2.1 * static_cast<double>(bytes(4096, backward)));
    CHECK(bytes(8192, backward) < 40u << 20);
  }
}

TEST_CASE("attention's contract") {
  Batch b({5, 6}, 2, 16, 0.0f);
  const auto error = [&] { return test::error_of([&] { b.run(1); }); };
  b.shape.max_length = 5;
  CHECK(error() == "attention_forward: sequence 1 has 6 tokens, expected 0 .. max_length = 5");
  b.shape.max_length = 6;
  b.starts[2] = 10;
  CHECK(error() == "attention_forward: cu_seqlens ends at 10, but there are 11 rows");
  b.starts[2] = 11;
  b.shape.head_dim = 8;
  CHECK(error() == "attention_forward: expected qkv of 11 x 48, got 11 x 96");
  b.shape.head_dim = 16;
  b.shape.n_kv_heads = 3;
  CHECK(error() == "attention_forward: 3 heads of keys and values do not divide 2 heads");
  b.shape.n_kv_heads = 0;
  b.shape.window = -1;
  CHECK(error() == "attention_forward: expected a window of 0 or more, got -1");
  b.shape.window = 0;
  b.bias = Matrix(2, 9);
  CHECK(error() ==
        "attention_forward: expected a relative_bias of an odd number of columns, at "
        "least 11, got 9");
  b.bias = Matrix(0, 1);
  b.shape.relative_bias = {};
  b.shape.dropout_p = 0.1f;
  b.samples = {b.samples[0]};
  CHECK(error() == "attention_forward: expected 2 sample_ids, got 1");
}

}  // namespace
}  // namespace qe
