// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The thread loops of ops.

#include <algorithm>
#include <functional>

#include "kernels/core/context.h"

namespace qe::cpu {

/// Calls body(task, thread) for every task in [0, n_tasks) on the context's threads. By reference:
/// a std::function that held a lambda of more than two captures would allocate.
template <class Body>
void run_tasks(Context& ctx, int64_t n_tasks, const Body& body) {
  ctx.threads->run(n_tasks, std::cref(body));
}

/// Calls body(begin, end) for consecutive ranges that cover [0, rows). `row_cost` is about the
/// number of elements a row touches: it only sizes the ranges.
template <class Body>
void for_row_ranges(Context& ctx, int64_t rows, int64_t row_cost, const Body& body) {
  constexpr int64_t kTaskElements = 32768;
  const int64_t step = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, row_cost));
  run_tasks(ctx, (rows + step - 1) / step,
            [&](int64_t task, int) { body(task * step, std::min(rows, (task + 1) * step)); });
}

/// Calls body(begin, end) for consecutive ranges of whole vectors that cover [0, cols): what sums
/// over rows.
template <class Body>
void for_column_ranges(Context& ctx, int64_t cols, const Body& body) {
  constexpr int64_t kColumns = 16;
  run_tasks(ctx, (cols + kColumns - 1) / kColumns, [&](int64_t task, int) {
    body(task * kColumns, std::min(cols, (task + 1) * kColumns));
  });
}

}  // namespace qe::cpu
