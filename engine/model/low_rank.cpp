// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/low_rank.h"

#include <numeric>

#include "kernels/core/error.h"

namespace qe {
namespace {

using Vector = std::vector<double>;

constexpr double kResidual = 1e-11;  // of the largest eigenvalue
constexpr double kNothing = 1e-13;   // what rounding leaves of a vector that is a sum of others
constexpr int kMaxRestarts = 500;

// Four chains, so that the additions need not wait for each other.
template <class T>
double dot(const T* x, const double* y, int64_t n) {
  double sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int64_t j = 0; j < 4; ++j) sums[j] += static_cast<double>(x[i + j]) * y[i + j];
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * y[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <class T>
void add_scaled(double factor, const T* x, double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * static_cast<double>(x[i]);
}

double norm(const Vector& x) {
  return std::sqrt(dot(x.data(), x.data(), static_cast<int64_t>(x.size())));
}

void scale(Vector& x, double factor) {
  for (double& value : x) value *= factor;
}

// W x.
Vector times(const MatrixView& w, const Vector& x) {
  Vector y(static_cast<size_t>(w.rows));
  for (int64_t i = 0; i < w.rows; ++i) {
    y[static_cast<size_t>(i)] = dot(w.values.data() + i * w.cols, x.data(), w.cols);
  }
  return y;
}

// W^T y.
Vector times_transposed(const MatrixView& w, const Vector& y) {
  Vector x(static_cast<size_t>(w.cols));
  for (int64_t i = 0; i < w.rows; ++i) {
    add_scaled(y[static_cast<size_t>(i)], w.values.data() + i * w.cols, x.data(), w.cols);
  }
  return x;
}

// Takes from x its parts along the first n of the orthonormal `basis`, twice, since rounding leaves
// some of them the first time. Returns their sizes.
Vector orthogonalize(const std::vector<Vector>& basis, size_t n, Vector& x) {
  Vector parts(n);
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t i = 0; i < n; ++i) {
      const double part = dot(basis[i].data(), x.data(), static_cast<int64_t>(x.size()));
      add_scaled(-part, basis[i].data(), x.data(), static_cast<int64_t>(x.size()));
      parts[i] += part;
    }
  }
  return parts;
}

// Makes x a unit vector that is orthogonal to the first n of `basis`, of whom there are fewer than
// x has dimensions: its own direction, else (it is one of theirs) a random one. Returns how long it
// was without their parts; 0 for a random one.
double extend(const std::vector<Vector>& basis, size_t n, const NamedStream& stream, Vector& x) {
  const double before = norm(x);
  orthogonalize(basis, n, x);
  const double left = norm(x);
  if (left > kNothing * before) {
    scale(x, 1.0 / left);
    return left;
  }
  for (uint64_t attempt = 1;; ++attempt) {
    Vector numbers(x.size() * (attempt + n));  // others each time: the last ones
    fill_normal<double>(stream, 1.0, numbers);
    std::copy(numbers.end() - static_cast<std::ptrdiff_t>(x.size()), numbers.end(), x.begin());
    scale(x, 1.0 / norm(x));
    orthogonalize(basis, n, x);
    const double length = norm(x);
    if (length < 1e-6) continue;
    scale(x, 1.0 / length);
    return 0.0;
  }
}

// Eigenvalues, descending, and eigenvectors (the rows) of a symmetric matrix (n, n), by Jacobi's
// rotations.
struct Eigen {
  Vector values;
  std::vector<Vector> vectors;
};

Eigen symmetric_eigen(std::vector<Vector> t) {
  const size_t n = t.size();
  std::vector<Vector> vectors(n, Vector(n));
  for (size_t i = 0; i < n; ++i) vectors[i][i] = 1.0;
  const auto rotate = [n](Vector& x, Vector& y, double c, double s) {
    for (size_t k = 0; k < n; ++k) {
      const double a = x[k], b = y[k];
      x[k] = c * a - s * b;
      y[k] = s * a + c * b;
    }
  };
  constexpr int kMaxSweeps = 60;
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    double off = 0.0, all = 0.0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) all += t[i][j] * t[i][j];
      for (size_t j = 0; j < i; ++j) off += 2.0 * t[i][j] * t[i][j];
    }
    if (off <= 1e-32 * all) break;
    for (size_t p = 0; p + 1 < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        if (t[p][q] * t[p][q] <= 1e-36 * all) continue;
        const double theta = (t[q][q] - t[p][p]) / (2.0 * t[p][q]);
        const double tangent =
            (theta >= 0.0 ? 1.0 : -1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1.0));
        const double c = 1.0 / std::sqrt(tangent * tangent + 1.0), s = tangent * c;
        rotate(t[p], t[q], c, s);
        for (size_t k = 0; k < n; ++k) {
          const double a = t[k][p], b = t[k][q];
          t[k][p] = c * a - s * b;
          t[k][q] = s * a + c * b;
        }
        rotate(vectors[p], vectors[q], c, s);
      }
    }
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return t[a][a] > t[b][b]; });
  Eigen sorted;
  for (const size_t i : order) {
    sorted.values.push_back(t[i][i]);
    sorted.vectors.push_back(std::move(vectors[i]));
  }
  return sorted;
}

// sum_i weights[i] * basis[i]
Vector combine(const std::vector<Vector>& basis, const Vector& weights) {
  Vector sum(basis[0].size());
  for (size_t i = 0; i < weights.size(); ++i) {
    add_scaled(weights[i], basis[i].data(), sum.data(), static_cast<int64_t>(sum.size()));
  }
  return sum;
}

// Eigenvectors of the r largest eigenvalues of the symmetric `product` of n dimensions.
template <class Product>
std::vector<Vector> largest_eigenvectors(const Product& product, size_t n, size_t r,
                                         const NamedStream& stream) {
  const size_t m = std::min(n, 2 * r + 32);
  std::vector<Vector> basis(1, Vector(n));
  extend(basis, 0, stream, basis[0]);
  std::vector<Vector> projected(m, Vector(m));
  size_t n_kept = 0;  // eigenvectors of earlier rounds, before the ones that follow each other
  for (int round = 0;; ++round) {
    double beta = 0.0;
    while (basis.size() <= m) {
      const size_t j = basis.size() - 1;
      Vector next = product(basis[j]);
      const Vector parts = orthogonalize(basis, basis.size(), next);
      for (size_t i = 0; i <= j; ++i) projected[i][j] = projected[j][i] = parts[i];
      if (basis.size() == n) break;  // the basis is all there is
      const double size = norm(parts);
      beta = norm(next) <= kNothing * size ? 0.0 : norm(next);
      if (beta == 0.0) std::fill(next.begin(), next.end(), 0.0);
      extend(basis, basis.size(), stream, next);
      basis.push_back(std::move(next));
    }
    const Eigen eigen = symmetric_eigen(projected);
    bool done = basis.size() == m || round == kMaxRestarts;
    if (!done) {
      done = true;
      for (size_t i = 0; i < r; ++i) {
        done = done && std::abs(beta * eigen.vectors[i][m - 1]) <= kResidual * eigen.values[0];
      }
    }
    n_kept = done ? r : (r + m) / 2;
    std::vector<Vector> kept;
    for (size_t i = 0; i < n_kept; ++i) kept.push_back(combine(basis, eigen.vectors[i]));
    if (done) return kept;
    kept.push_back(std::move(basis.back()));
    basis = std::move(kept);
    projected.assign(m, Vector(m));
    for (size_t i = 0; i < n_kept; ++i) projected[i][i] = eigen.values[i];
  }
}

}  // namespace

SingularTriplets largest_triplets(const MatrixView& w, int64_t r, const NamedStream& stream) {
  QE_CHECK(r >= 1 && r <= std::min(w.rows, w.cols), "a rank of ", r, " for a matrix of ", w.rows,
           " x ", w.cols);
  const bool is_wide = w.rows < w.cols;
  const auto product = [&](const Vector& x) {
    return is_wide ? times(w, times_transposed(w, x)) : times_transposed(w, times(w, x));
  };
  const std::vector<Vector> near = largest_eigenvectors(
      product, static_cast<size_t>(std::min(w.rows, w.cols)), static_cast<size_t>(r), stream);
  SingularTriplets found{.r = r,
                         .u = Vector(static_cast<size_t>(w.rows * r)),
                         .s = Vector(static_cast<size_t>(r)),
                         .v = Vector(static_cast<size_t>(r * w.cols))};
  for (int64_t i = 0; i < r; ++i) {
    const Vector& x = near[static_cast<size_t>(i)];
    Vector y = is_wide ? times_transposed(w, x) : times(w, x);
    const double s = norm(y);
    if (s <= kNothing * found.s[0]) break;
    found.s[static_cast<size_t>(i)] = s;
    scale(y, 1.0 / s);
    const Vector& left = is_wide ? x : y;
    const Vector& right = is_wide ? y : x;
    for (int64_t row = 0; row < w.rows; ++row) {
      found.u[static_cast<size_t>(row * r + i)] = left[static_cast<size_t>(row)];
    }
    std::copy(right.begin(), right.end(), found.v.begin() + i * w.cols);
  }
  return found;
}

SingularTriplets approximate_triplets(const MatrixView& w, int64_t r, int64_t n_iterations,
                                      const NamedStream& stream) {
  QE_CHECK(r >= 1 && r <= std::min(w.rows, w.cols), "a rank of ", r, " for a matrix of ", w.rows,
           " x ", w.cols);
  Vector numbers(static_cast<size_t>(w.cols * r));
  fill_normal<double>(stream, 1.0, numbers);
  std::vector<Vector> basis;
  for (int64_t i = 0; i < r; ++i) {
    basis.emplace_back(numbers.begin() + i * w.cols, numbers.begin() + (i + 1) * w.cols);
  }
  const auto step = [&](const auto& multiply) {
    for (size_t i = 0; i < basis.size(); ++i) {
      basis[i] = multiply(w, basis[i]);
      extend(basis, i, stream, basis[i]);
    }
  };
  step(times);
  for (int64_t i = 0; i < n_iterations; ++i) {
    step(times_transposed);
    step(times);
  }
  // The decomposition of Q^T W, by that of its rows' products.
  std::vector<Vector> rows, products;
  for (const Vector& q : basis) rows.push_back(times_transposed(w, q));
  for (const Vector& x : rows) {
    products.emplace_back();
    for (const Vector& y : rows) products.back().push_back(dot(x.data(), y.data(), w.cols));
  }
  const Eigen eigen = symmetric_eigen(products);
  SingularTriplets found{.r = r,
                         .u = Vector(static_cast<size_t>(w.rows * r)),
                         .s = Vector(static_cast<size_t>(r)),
                         .v = Vector(static_cast<size_t>(r * w.cols))};
  for (int64_t i = 0; i < r; ++i) {
    const Vector& weights = eigen.vectors[static_cast<size_t>(i)];
    Vector right = combine(rows, weights);
    const double s = norm(right);
    if (s <= kNothing * found.s[0]) break;
    found.s[static_cast<size_t>(i)] = s;
    scale(right, 1.0 / s);
    std::copy(right.begin(), right.end(), found.v.begin() + i * w.cols);
    const Vector left = combine(basis, weights);
    for (int64_t row = 0; row < w.rows; ++row) {
      found.u[static_cast<size_t>(row * r + i)] = left[static_cast<size_t>(row)];
    }
  }
  return found;
}

LeadingQr leading_qr(const MatrixView& w, int64_t r, const NamedStream& stream) {
  QE_CHECK(r >= 1 && r <= std::min(w.rows, w.cols), "a rank of ", r, " for a matrix of ", w.rows,
           " x ", w.cols);
  LeadingQr found{.q = Vector(static_cast<size_t>(w.rows * r)), .r = {}};
  std::vector<Vector> basis;
  for (int64_t i = 0; i < r; ++i) {
    Vector column(static_cast<size_t>(w.rows));
    for (int64_t row = 0; row < w.rows; ++row) {
      column[static_cast<size_t>(row)] =
          static_cast<double>(w.values[static_cast<size_t>(row * w.cols + i)]);
    }
    extend(basis, basis.size(), stream, column);
    for (int64_t row = 0; row < w.rows; ++row) {
      found.q[static_cast<size_t>(row * r + i)] = column[static_cast<size_t>(row)];
    }
    const Vector of_r = times_transposed(w, column);
    found.r.insert(found.r.end(), of_r.begin(), of_r.end());
    basis.push_back(std::move(column));
  }
  return found;
}

}  // namespace qe
