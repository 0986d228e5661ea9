// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/topk.h"

#include <algorithm>
#include <numeric>

#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

struct Best {
  test::List<int32_t> ids;
  Matrix probabilities;
};

Best best_of(int n_threads, Matrix& logits, int64_t k, const test::List<int32_t>& candidates = {}) {
  const int64_t n = logits.rows() * k;
  Best out{test::List<int32_t>(static_cast<size_t>(n), -7), Matrix(1, n).of_f32()};
  run_planned(n_threads, [&](Context& ctx) {
    topk(ctx, {.logits = logits.view(),
               .candidates = candidates,
               .k = k,
               .ids = out.ids,
               .probabilities = out.probabilities.flat()});
  });
  CHECK(out.probabilities.guards_intact());
  return out;
}

// The same by a full sort.
void check_row(const Matrix& logits, int64_t row, std::vector<int32_t> choices, int64_t k,
               const Best& found) {
  std::stable_sort(choices.begin(), choices.end(), [&](int32_t a, int32_t b) {
    return logits.at(row, a) != logits.at(row, b) ? logits.at(row, a) > logits.at(row, b) : a < b;
  });
  double sum = 0.0;
  for (int64_t v = 0; v < logits.cols(); ++v)
    sum += std::exp(static_cast<double>(logits.at(row, v)));
  for (int64_t i = 0; i < k; ++i) {
    const int32_t id = choices[static_cast<size_t>(i)];
    CHECK(found.ids[static_cast<size_t>(row * k + i)] == id);
    CHECK(found.probabilities.at(0, row * k + i) ==
          doctest::Approx(std::exp(static_cast<double>(logits.at(row, id))) / sum).epsilon(1e-6));
  }
}

DEVICE_TEST_CASE("topk agrees with a full sort") {
  for (const int64_t vocab : {1, 5, 16, 1003}) {
    Matrix logits = Matrix::random(6, vocab, 1, vocab + 3).of_f32();
    for (int64_t i = 0; i < 6; ++i) {
      // Few different values: many ties.
      for (int64_t v = 0; v < vocab; ++v)
        logits.at(i, v) = std::round(logits.at(i, v) * 20.0f) / 4.0f;
    }
    std::vector<int32_t> all(static_cast<size_t>(vocab));
    std::iota(all.begin(), all.end(), 0);
    for (const int64_t k : {int64_t{1}, std::min<int64_t>(5, vocab), vocab}) {
      const Best found = best_of(2, logits, k);
      for (int64_t i = 0; i < 6; ++i) check_row(logits, i, all, k, found);
    }
  }
}

DEVICE_TEST_CASE("topk among candidates keeps the probabilities of the whole vocabulary") {
  Matrix logits = Matrix::random(3, 100, 2).of_f32();
  const std::vector<int32_t> candidates = {77, 3, 99, 0, 41};
  const Best found = best_of(2, logits, 4, candidates);
  for (int64_t i = 0; i < 3; ++i) check_row(logits, i, candidates, 4, found);
  double sum = 0.0;
  for (int64_t i = 0; i < 4; ++i) sum += static_cast<double>(found.probabilities.at(0, i));
  CHECK(sum < 0.5);
}

DEVICE_TEST_CASE("topk ranks NaN last") {
  Matrix logits = Matrix::random(1, 20, 3).of_f32();
  logits.at(0, 4) = std::nanf("");
  const Best found = best_of(1, logits, 20);
  CHECK(found.ids.back() == 4);
}

DEVICE_TEST_CASE("topk gives the same bits everywhere") {
  Matrix logits = Matrix::random(9, 2000, 5).of_f32();
  test::check_same_everywhere([&](int n_threads) {
    const Best found = best_of(n_threads, logits, 7);
    std::vector<uint32_t> bits = found.probabilities.bits();
    for (const int32_t id : found.ids) bits.push_back(static_cast<uint32_t>(id));
    return bits;
  });
}

TEST_CASE("topk's contract") {
  Matrix logits = Matrix::random(2, 10, 5).of_f32();
  const auto error = [&](int64_t k, std::vector<int32_t> candidates) {
    return test::error_of([&] { best_of(1, logits, k, candidates); });
  };
  CHECK(error(11, {}) == "topk: expected k in 1 .. 10, got 11");
  CHECK(error(0, {}) == "topk: expected k in 1 .. 10, got 0");
  CHECK(error(3, {1, 2}) == "topk: expected k in 1 .. 2, got 3");
  CHECK(error(1, {1, 10}) == "topk: candidates[1] is 10, expected 0 .. 9");
}

}  // namespace
}  // namespace qe
