// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Low-rank factors of a matrix, on one thread, in double precision and without libm: the same bits
// everywhere. Matrices are row-major.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/named_stream.h"

namespace qe {

/// A matrix (rows, cols) in fp32.
struct MatrixView {
  std::span<const float> values;
  int64_t rows = 0, cols = 0;
};

/// The r largest singular values and their vectors: W ~ U diag(S) V. Of a singular value that is 0
/// beside the largest, both vectors are 0.
struct SingularTriplets {
  int64_t r = 0;
  std::vector<double> u;  ///< (rows, r)
  std::vector<double> s;  ///< (r), descending
  std::vector<double> v;  ///< (r, cols)
};

/// As a full decomposition has them, by Lanczos' method with thick restarts (Wu and Simon 2000, on
/// the smaller of W W^T and W^T W): residuals below 1e-11 of the largest. r <= min(rows, cols).
/// `stream`: where it starts from; where singular values differ it does not matter.
SingularTriplets largest_triplets(const MatrixView& w, int64_t r, const NamedStream& stream);

/// torch.svd_lowrank's approximation, q = r: r random directions after n_iterations of subspace
/// iteration (Halko, Martinsson and Tropp 2009, algorithm 4.4).
SingularTriplets approximate_triplets(const MatrixView& w, int64_t r, int64_t n_iterations,
                                      const NamedStream& stream);

/// The first r columns of Q and rows of R, W = Q R; signs are as Gram and Schmidt leave them (R's
/// diagonal is positive). r <= min(rows, cols).
struct LeadingQr {
  std::vector<double> q;  ///< (rows, r)
  std::vector<double> r;  ///< (r, cols)
};
LeadingQr leading_qr(const MatrixView& w, int64_t r, const NamedStream& stream);

}  // namespace qe
