// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/embedding.h"

#include <array>

#include "kernels/core/dtype.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

// A table in one of the weight types, and what it holds.
struct Table {
  Matrix values;
  test::StoredMatrix stored;

  Table(int64_t rows, int64_t cols, DType dtype, uint64_t seed)
      : values(Matrix::random(rows, cols, seed)), stored(values, dtype) {}
  Tensor view() { return stored.view(); }
};

test::List<int32_t> ids(int64_t n, int64_t limit, uint64_t seed) {
  test::Random random(seed);
  test::List<int32_t> out;
  for (int64_t i = 0; i < n; ++i) {
    out.push_back(static_cast<int32_t>(random.next() % static_cast<uint64_t>(limit)));
  }
  return out;
}

DEVICE_TEST_CASE("embedding_forward adds word, type and position in that order") {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t cols : {1, 16, 24, 100}) {
      const int64_t n = 50;
      Table word(30, cols, dtype, 1);
      Table type(2, cols, dtype, 2);
      Table position(64, cols, DType::kF32, 3);
      const test::List<int32_t> tokens = ids(n, 30, 4);
      const test::List<int32_t> types = ids(n, 2, 5);
      const test::List<int32_t> positions = ids(n, 64, 6);
      Matrix all(n, cols, cols + 3);
      Matrix words(n, cols);
      run_planned(2, [&](Context& ctx) {
        embedding_forward(ctx, {.token_ids = tokens,
                                .type_ids = types,
                                .position_ids = positions,
                                .word_table = word.view(),
                                .type_table = type.view(),
                                .position_table = position.view(),
                                .out = all.view()});
        embedding_forward(ctx,
                          {.token_ids = tokens, .word_table = word.view(), .out = words.view()});
      });
      CHECK(all.guards_intact());
      CHECK(words.guards_intact());
      for (int64_t t = 0; t < n; ++t) {
        const size_t at = static_cast<size_t>(t);
        for (int64_t c = 0; c < cols; ++c) {
          const float w = word.values.at(tokens[at], c);
          const float sum = w + type.values.at(types[at], c) + position.values.at(positions[at], c);
          CHECK(all.at(t, c) == test::rounded(sum));
          CHECK(words.at(t, c) == test::rounded(w));
        }
      }
    }
  }
}

DEVICE_TEST_CASE("embedding_forward scales word rows before the others are added") {
  const int64_t n = 20;
  for (const int64_t cols : {7, 32}) {
    Table word(30, cols, DType::kF16, 1);
    Table position(64, cols, DType::kF32, 3);
    const test::List<int32_t> tokens = ids(n, 30, 4);
    const test::List<int32_t> positions = ids(n, 64, 6);
    test::List<float> scales;
    for (int64_t t = 0; t < n; ++t) scales.push_back(t % 3 == 0 ? 0.0f : 0.5f);
    Matrix out(n, cols, cols + 3);
    run_planned(2, [&](Context& ctx) {
      embedding_forward(ctx, {.token_ids = tokens,
                              .position_ids = positions,
                              .word_scales = scales.span(),
                              .word_table = word.view(),
                              .position_table = position.view(),
                              .out = out.view()});
    });
    for (int64_t t = 0; t < n; ++t) {
      const size_t at = static_cast<size_t>(t);
      for (int64_t c = 0; c < cols; ++c) {
        const float scaled = scales[at] * word.values.at(tokens[at], c);
        CHECK(out.at(t, c) == test::rounded(scaled + position.values.at(positions[at], c)));
      }
    }
  }
}

DEVICE_TEST_CASE("embedding_forward gives the same bits everywhere") {
  Table word(30, 77, DType::kF16, 1);
  Table position(64, 77, DType::kBF16, 3);
  const test::List<int32_t> tokens = ids(40, 30, 4);
  const test::List<int32_t> positions = ids(40, 64, 6);
  test::check_same_everywhere([&](int n_threads) {
    Matrix out(40, 77);
    run_planned(n_threads, [&](Context& ctx) {
      embedding_forward(ctx, {.token_ids = tokens,
                              .position_ids = positions,
                              .word_table = word.view(),
                              .position_table = position.view(),
                              .out = out.view()});
    });
    return out.bits();
  });
}

TEST_CASE("ids outside their tables are errors") {
  Table word(30, 8, DType::kF32, 1);
  Matrix out(3, 8);
  const auto error = [&](const test::List<int32_t>& tokens) {
    return test::error_of([&] {
      run_planned(1, [&](Context& ctx) {
        embedding_forward(ctx, {.token_ids = tokens, .word_table = word.view(), .out = out.view()});
      });
    });
  };
  CHECK(error({0, 29, 30}) == "embedding_forward: token_ids[2] is 30, expected 0 .. 29");
  CHECK(error({0, -1, 3}) == "embedding_forward: token_ids[1] is -1, expected 0 .. 29");
  CHECK(error({0, 1}) == "embedding_forward: expected 3 token_ids, got 2");
  CHECK(error({0, 1, 29}).empty());
}

DEVICE_TEST_CASE("scatter_rows undoes gather_rows") {
  Matrix x = Matrix::random(20, 33, 1, 40);
  const test::List<int32_t> rows = {3, 0, 19, 7};
  Matrix y(4, 33, 35);
  Matrix back(20, 33);
  Matrix added = Matrix::random(20, 33, 2);
  const Matrix before = added;
  run_planned(2, [&](Context& ctx) {
    gather_rows(ctx, x.view(), rows, y.view());
    scatter_rows(ctx, y.view(), rows, back.view(), GradientMode::kOverwrite);
    scatter_rows(ctx, y.view(), rows, added.view(), GradientMode::kAccumulate);
  });
  CHECK(y.guards_intact());
  CHECK(back.guards_intact());
  for (int64_t t = 0; t < 20; ++t) {
    const bool chosen = std::find(rows.begin(), rows.end(), t) != rows.end();
    for (int64_t c = 0; c < 33; ++c) {
      CHECK(back.at(t, c) == (chosen ? x.at(t, c) : 0.0f));
      CHECK(added.at(t, c) == test::rounded(before.at(t, c) + (chosen ? x.at(t, c) : 0.0f)));
    }
  }
}

TEST_CASE("gather and scatter of no rows, and of rows that are not there") {
  Matrix x = Matrix::random(5, 4, 1);
  Matrix none(0, 4);
  const test::List<int32_t> no_rows;
  const test::List<int32_t> bad = {5};
  Matrix one(1, 4);
  run_planned(2, [&](Context& ctx) {
    gather_rows(ctx, x.view(), no_rows, none.view());
    scatter_rows(ctx, none.view(), no_rows, x.view(), GradientMode::kOverwrite);
  });
  for (const double v : test::doubles(x)) CHECK(v == 0.0);
  CHECK(test::error_of([&] {
          run_planned(1, [&](Context& ctx) { gather_rows(ctx, x.view(), bad, one.view()); });
        }) == "gather_rows: rows[0] is 5, expected 0 .. 4");
}

}  // namespace
}  // namespace qe
