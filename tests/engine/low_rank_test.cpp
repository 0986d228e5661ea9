// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/low_rank.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

struct Matrix {
  int64_t rows, cols;
  std::vector<float> values;
  MatrixView view() const { return {values, rows, cols}; }
};

Matrix random_matrix(int64_t rows, int64_t cols, uint64_t seed = 1) {
  Matrix w{rows, cols, std::vector<float>(static_cast<size_t>(rows * cols))};
  fill_normal<float>(NamedStream(seed, "w"), 1.0, w.values);
  return w;
}

// U diag(s) V of random orthonormal U and V.
Matrix with_singular_values(int64_t rows, int64_t cols, const std::vector<double>& s) {
  const auto n = static_cast<int64_t>(s.size());
  const auto u = leading_qr(random_matrix(rows, n, 2).view(), n, NamedStream(2, "u")).q;
  const auto v = leading_qr(random_matrix(cols, n, 3).view(), n, NamedStream(3, "v")).q;
  Matrix w{rows, cols, std::vector<float>(static_cast<size_t>(rows * cols))};
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      double sum = 0.0;
      for (int64_t k = 0; k < n; ++k) {
        sum += u[static_cast<size_t>(i * n + k)] * s[static_cast<size_t>(k)] *
               v[static_cast<size_t>(j * n + k)];
      }
      w.values[static_cast<size_t>(i * cols + j)] = static_cast<float>(sum);
    }
  }
  return w;
}

double product(const SingularTriplets& t, int64_t cols, int64_t i, int64_t j) {
  double sum = 0.0;
  for (int64_t k = 0; k < t.r; ++k) {
    sum += t.u[static_cast<size_t>(i * t.r + k)] * t.s[static_cast<size_t>(k)] *
           t.v[static_cast<size_t>(k * cols + j)];
  }
  return sum;
}

// ||W - U diag(s) V||, Frobenius.
double distance(const Matrix& w, const SingularTriplets& t) {
  double sum = 0.0;
  for (int64_t i = 0; i < w.rows; ++i) {
    for (int64_t j = 0; j < w.cols; ++j) {
      const double difference = static_cast<double>(w.values[static_cast<size_t>(i * w.cols + j)]) -
                                product(t, w.cols, i, j);
      sum += difference * difference;
    }
  }
  return std::sqrt(sum);
}

// Largest |W v - s u| and |W^T u - s v| of all triplets.
double residual(const Matrix& w, const SingularTriplets& t) {
  double worst = 0.0;
  for (int64_t k = 0; k < t.r; ++k) {
    const double s = t.s[static_cast<size_t>(k)];
    const auto u = [&](int64_t i) { return t.u[static_cast<size_t>(i * t.r + k)]; };
    const auto v = [&](int64_t j) { return t.v[static_cast<size_t>(k * w.cols + j)]; };
    const auto at = [&](int64_t i, int64_t j) {
      return static_cast<double>(w.values[static_cast<size_t>(i * w.cols + j)]);
    };
    for (int64_t i = 0; i < w.rows; ++i) {
      double sum = 0.0;
      for (int64_t j = 0; j < w.cols; ++j) sum += at(i, j) * v(j);
      worst = std::max(worst, std::abs(sum - s * u(i)));
    }
    for (int64_t j = 0; j < w.cols; ++j) {
      double sum = 0.0;
      for (int64_t i = 0; i < w.rows; ++i) sum += at(i, j) * u(i);
      worst = std::max(worst, std::abs(sum - s * v(j)));
    }
  }
  return worst;
}

const NamedStream kStream(5, "start");

}  // namespace

TEST_CASE("low_rank: the largest singular values and their vectors") {
  // The last needs restarts: only 2 r + 32 of its 300 dimensions are looked at in one go.
  for (const auto& [rows, cols, r] : {std::tuple{5, 9, 5},
                                      {40, 24, 3},
                                      {24, 40, 24},
                                      {1, 7, 1},
                                      {7, 1, 1},
                                      {300, 310, 4},
                                      {400, 300, 20}}) {
    CAPTURE(rows);
    CAPTURE(cols);
    const Matrix w = random_matrix(rows, cols);
    const SingularTriplets t = largest_triplets(w.view(), r, kStream);
    CHECK(std::is_sorted(t.s.rbegin(), t.s.rend()));
    CHECK(residual(w, t) < 1e-8 * t.s[0]);
    const SingularTriplets again = largest_triplets(w.view(), r, NamedStream(9, "elsewhere"));
    for (int64_t k = 0; k < r; ++k) {
      CHECK(again.s[static_cast<size_t>(k)] ==
            doctest::Approx(t.s[static_cast<size_t>(k)]).epsilon(1e-10));
    }
  }
}

TEST_CASE("low_rank: the singular values that a matrix was made of") {
  std::vector<double> s;
  for (int i = 0; i < 200; ++i) s.push_back(3.0 * (1.0 - 0.004 * i));  // close to each other
  const Matrix w = with_singular_values(200, 220, s);
  const SingularTriplets t = largest_triplets(w.view(), 16, kStream);
  for (size_t i = 0; i < 16; ++i) CHECK(t.s[i] == doctest::Approx(s[i]).epsilon(1e-6));
  double rest = 0.0;
  for (size_t i = 16; i < s.size(); ++i) rest += s[i] * s[i];
  CHECK(distance(w, t) == doctest::Approx(std::sqrt(rest)).epsilon(1e-6));
}

TEST_CASE("low_rank: equal singular values, few of them, none") {
  Matrix identity{50, 50, std::vector<float>(2500)};
  for (size_t i = 0; i < 50; ++i) identity.values[i * 51] = 2.0f;
  const SingularTriplets same = largest_triplets(identity.view(), 6, kStream);
  for (const double s : same.s) CHECK(s == doctest::Approx(2.0));
  CHECK(residual(identity, same) < 1e-10);

  const Matrix thin = with_singular_values(90, 120, {5.0, 2.0, 2.0});
  const SingularTriplets few = largest_triplets(thin.view(), 8, kStream);
  CHECK(few.s[1] == doctest::Approx(2.0));
  CHECK(few.s[2] == doctest::Approx(2.0));
  CHECK(few.s[3] < 1e-5);
  CHECK(distance(thin, few) < 1e-5);

  const Matrix zero{60, 45, std::vector<float>(60 * 45)};
  for (const SingularTriplets& none : {largest_triplets(zero.view(), 3, kStream),
                                       approximate_triplets(zero.view(), 3, 2, kStream)}) {
    for (const std::vector<double>& part : {none.u, none.s, none.v}) {
      for (const double value : part) REQUIRE(value == 0.0);
    }
  }
  CHECK(error_of([&] { largest_triplets(zero.view(), 46, kStream); }) ==
        "a rank of 46 for a matrix of 60 x 45");
}

TEST_CASE("low_rank: subspace iteration comes closer with every step") {
  const Matrix w = random_matrix(80, 120);
  const double best = distance(w, largest_triplets(w.view(), 6, kStream));
  double last = 1e30;
  for (const int64_t n : {0, 1, 4, 16}) {
    const double found = distance(w, approximate_triplets(w.view(), 6, n, kStream));
    CHECK(found < last);
    CHECK(found > best);
    last = found;
  }
  CHECK(last < 1.002 * best);
}

TEST_CASE("low_rank: the beginning of Q and R") {
  const Matrix w = random_matrix(30, 21);
  const LeadingQr qr = leading_qr(w.view(), 7, kStream);
  for (int64_t a = 0; a < 7; ++a) {
    for (int64_t b = 0; b < 7; ++b) {
      double sum = 0.0;
      for (int64_t i = 0; i < 30; ++i) {
        sum += qr.q[static_cast<size_t>(i * 7 + a)] * qr.q[static_cast<size_t>(i * 7 + b)];
      }
      CHECK(sum == doctest::Approx(a == b ? 1.0 : 0.0).epsilon(1e-12));
      if (b < a) CHECK(std::abs(qr.r[static_cast<size_t>(a * 21 + b)]) < 1e-12);
    }
  }
  for (int64_t i = 0; i < 30; ++i) {  // the first seven columns of W are Q R's
    for (int64_t j = 0; j < 7; ++j) {
      double sum = 0.0;
      for (int64_t k = 0; k < 7; ++k) {
        sum += qr.q[static_cast<size_t>(i * 7 + k)] * qr.r[static_cast<size_t>(k * 21 + j)];
      }
      CHECK(sum == doctest::Approx(static_cast<double>(w.values[static_cast<size_t>(i * 21 + j)])));
    }
  }
}

}  // namespace qe
