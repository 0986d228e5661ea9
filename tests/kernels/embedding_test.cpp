// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/embedding.h"

#include <array>

#include "kernels/core/dtype.h"
#include "tests/reference/embedding.h"
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

// Slots of the ids `chosen` among n: the list's order.
test::List<int32_t> slots_of(const std::vector<int32_t>& chosen, int64_t n) {
  std::vector<int32_t> slots(static_cast<size_t>(n), -1);
  for (size_t i = 0; i < chosen.size(); ++i) {
    slots[static_cast<size_t>(chosen[i])] = static_cast<int32_t>(i);
  }
  return slots;
}

DEVICE_TEST_CASE("embedding_forward reads replaced rows in place of the word table's") {
  const int64_t n = 60;
  for (const int64_t cols : {7, 32}) {
    Table word(30, cols, DType::kF16, 1);
    Table position(64, cols, DType::kF32, 3);
    const std::vector<int32_t> chosen = {29, 0, 17};
    Matrix rows = Matrix::random(3, cols, 9, cols + 4);
    const test::List<int32_t> slots = slots_of(chosen, 30);
    const test::List<int32_t> tokens = ids(n, 30, 4);
    const test::List<int32_t> positions = ids(n, 64, 6);
    test::List<float> scales;
    for (int64_t t = 0; t < n; ++t) scales.push_back(t % 2 == 0 ? 1.0f : 0.5f);
    Matrix out(n, cols, cols + 3);
    run_planned(2, [&](Context& ctx) {
      embedding_forward(ctx, {.token_ids = tokens,
                              .position_ids = positions,
                              .word_scales = scales.span(),
                              .word_table = word.view(),
                              .replaced = {.slots = slots, .rows = rows.view()},
                              .position_table = position.view(),
                              .out = out.view()});
    });
    CHECK(out.guards_intact());
    for (int64_t t = 0; t < n; ++t) {
      const size_t at = static_cast<size_t>(t);
      const int32_t slot = slots[static_cast<size_t>(tokens[at])];
      for (int64_t c = 0; c < cols; ++c) {
        const float w = slot >= 0 ? rows.at(slot, c) : word.values.at(tokens[at], c);
        CHECK(out.at(t, c) == test::rounded(scales[at] * w + position.values.at(positions[at], c)));
      }
    }
  }
}

// A batch and a table whose gradient is wanted.
struct Gradient {
  test::List<int32_t> ids, slots;
  test::List<float> scales;
  int32_t padding_id = -1;
  Matrix d_out, d_table;

  Gradient(test::List<int32_t> ids_, int64_t rows, int64_t cols, int64_t padding = 0)
      : ids(std::move(ids_)),
        d_out(Matrix::random(static_cast<int64_t>(ids.size()), cols, 1, cols + padding)),
        d_table(Matrix::random(rows, cols, 2, cols + padding).of_f32()) {}

  void run(int n_threads) {
    run_planned(n_threads, [&](Context& ctx) {
      embedding_backward(ctx, {.ids = ids,
                               .slots = slots.span(),
                               .scales = scales.span(),
                               .padding_id = padding_id,
                               .d_out = d_out.view(),
                               .d_table = d_table.view()});
    });
  }
  // Runs, against float64; rows without a token keep their bits.
  void check() {
    test::Doubles expected = test::doubles(d_table);
    const test::Doubles before = expected;
    const std::vector<float>& factors = scales.host();
    reference::add_embedding_gradient(
        {ids.host(), slots.host(), {factors.begin(), factors.end()}, padding_id},
        test::doubles(d_out), static_cast<size_t>(d_out.cols()), expected);
    run(2);
    // Sums are fp32 on every device, of terms that are not rounded.
    CHECK(test::relative_error(d_table, expected) < 1e-5);
    const test::Doubles found = test::doubles(d_table);
    int64_t touched = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      touched += expected[i] == before[i] && found[i] != before[i];
    }
    CHECK(touched == 0);
  }
};

DEVICE_TEST_CASE("embedding_backward: rows of words, types and positions against float64") {
  for (const int64_t n : test::sizes<int64_t>({1, 31, 32, 33, 64, 700, 5000}, {33, 200})) {
    for (const int64_t cols : {1, 24, 300}) {
      CAPTURE(n);
      CAPTURE(cols);
      Gradient(ids(n, 40000 / cols, 4), 40000 / cols, cols).check();  // most once, if ever
      Gradient(ids(n, 9, 4), 11, cols, 4).check();
      Gradient(test::List<int32_t>(std::vector<int32_t>(static_cast<size_t>(n), 1)), 2, cols)
          .check();
      std::vector<int32_t> positions, mixed;
      for (int64_t t = 0; t < n; ++t) {
        positions.push_back(static_cast<int32_t>(t % 77));
        // Runs of all lengths, over borders of 32 and within them; half of the tokens alike.
        mixed.push_back(static_cast<int32_t>(t % 2 == 0 ? 50 : (t * t / 300) % 100));
      }
      Gradient(positions, 80, cols).check();
      Gradient(mixed, 100, cols, 3).check();
    }
  }
}

DEVICE_TEST_CASE("embedding_backward: chosen rows, scales, and an id without gradient") {
  for (const int64_t n : {40, 3000}) {
    for (const bool scaled : {false, true}) {
      Gradient g(ids(n, 50, 4), 3, 20);
      g.slots = slots_of({49, 0, 17}, 50);
      g.padding_id = 17;
      for (int64_t t = 0; scaled && t < n; ++t) {
        g.scales.push_back(0.25f * static_cast<float>(t % 7));
      }
      Gradient all(g.ids, 50, 20);
      all.padding_id = 17;
      all.scales = g.scales;
      g.check();
      all.check();
    }
  }
}

DEVICE_TEST_CASE("embedding_backward of nothing: no tokens, no trained row, no gradient") {
  Gradient none(test::List<int32_t>{}, 5, 8);
  Gradient other(ids(100, 30, 4), 1, 8);
  other.slots = slots_of({}, 30);
  Gradient padding(test::List<int32_t>{4, 4, 4}, 5, 8);
  padding.padding_id = 4;
  for (Gradient* g : {&none, &other, &padding}) {
    const std::vector<uint32_t> before = g->d_table.bits();
    g->run(2);
    CHECK(g->d_table.bits() == before);
    CHECK(g->d_table.guards_intact());
  }
}

DEVICE_TEST_CASE("embedding_backward gives the same bits everywhere") {
  for (const int64_t limit : {3, 60, 5000}) {
    test::check_same_everywhere([&](int n_threads) {
      Gradient g(ids(1500, limit, 4), limit, 45);
      g.run(n_threads);
      return g.d_table.bits();
    });
  }
}

TEST_CASE("embedding_backward adds a row's tokens in ascending order") {
  Gradient g(ids(300, 4, 4), 4, 19);
  Matrix chain = g.d_table;
  for (int64_t t = 0; t < 300; ++t) {
    for (int64_t c = 0; c < 19; ++c) {
      chain.at(g.ids[static_cast<size_t>(t)], c) += g.d_out.at(t, c);
    }
  }
  g.run(3);
  CHECK(test::count_different(g.d_table, chain) == 0);
}

TEST_CASE("embedding_backward's and replaced rows' contracts") {
  const auto error = [](const std::function<void(Gradient&)>& change) {
    Gradient g(test::List<int32_t>{0, 4, 2}, 5, 8);
    change(g);
    return test::error_of([&] { g.run(1); });
  };
  CHECK(error([](Gradient&) {}).empty());
  CHECK(error([](Gradient& g) { g.ids[1] = 5; }) ==
        "embedding_backward: ids[1] is 5, expected 0 .. 4");
  CHECK(error([](Gradient& g) { g.ids.push_back(1); }) ==
        "embedding_backward: expected 3 ids, got 4");
  CHECK(error([](Gradient& g) { g.slots = slots_of({}, 4); }) ==
        "embedding_backward: ids[1] is 4, expected 0 .. 3");
  CHECK(error([](Gradient& g) {
          g.slots = {0, 1, 2, 3, 5};
        }) == "embedding_backward: slots[4] is 5, expected -1 .. 4");
  CHECK(error([](Gradient& g) { g.scales = {1.0f}; }) ==
        "embedding_backward: expected 3 scales, got 1");
  CHECK(error([](Gradient& g) { g.d_table = Matrix::random(5, 7, 1); }) ==
        "embedding_backward: expected d_out of 3 x 7, got 3 x 8");

  Table word(5, 8, DType::kF32, 1);
  Matrix out(1, 8), rows = Matrix::random(2, 8, 3);
  const test::List<int32_t> tokens = {4};
  const auto replaced = [&](const test::List<int32_t>& slots, const Tensor& by) {
    return test::error_of([&] {
      run_planned(1, [&](Context& ctx) {
        embedding_forward(ctx, {.token_ids = tokens,
                                .word_table = word.view(),
                                .replaced = {.slots = slots, .rows = by},
                                .out = out.view()});
      });
    });
  };
  CHECK(replaced({-1, 0, -1, -1, 1}, rows.view()).empty());
  CHECK(replaced({-1, 0, -1, -1}, rows.view()) == "embedding_forward: expected 5 slots, got 4");
  CHECK(replaced({-1, 0, -1, -1, 2}, rows.view()) ==
        "embedding_forward: slots[4] is 2, expected -1 .. 1");
  CHECK(replaced({-1, 0, -1, -1, 1}, rows.view().col_range(0, 7)) ==
        "embedding_forward: expected replaced rows of 2 x 8, got 2 x 7");
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
