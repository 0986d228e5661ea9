// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/gemm.h"

#include <algorithm>

namespace qe::cpu {
namespace {

// How c is cut into tasks.
struct Split {
  int64_t rows;     // per task
  int64_t columns;  // per task
  int64_t n_row_tasks;
  int64_t n_column_tasks;
  int64_t n_tasks() const { return n_row_tasks * n_column_tasks; }
};

int64_t pieces_of(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

// Each task packs the rows of a and the columns of b that it needs, so tasks want to be square and
// large; threads want several tasks each, to even out; below some 10 us waking a thread costs more
// than it brings.
int64_t tasks_wanted(int64_t n_threads, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kTasksPerThread = 4;
  constexpr int64_t kMinProducts = 1 << 18;  // per task
  const int64_t products = m * n * std::max<int64_t>(k, 1);
  return n_threads == 1 ? 1 : std::min(kTasksPerThread * n_threads, products / kMinProducts);
}

Split choose_split(int64_t n_threads, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kRowUnit = 48;
  constexpr int64_t kColumnUnit = 64;
  Split split{std::max<int64_t>(m, 1), std::max<int64_t>(n, 1), 1, 1};
  const int64_t wanted = tasks_wanted(n_threads, m, n, k);
  while (split.n_tasks() < wanted) {
    const bool rows_fit = split.rows > 2 * kRowUnit;
    const bool columns_fit = split.columns > kColumnUnit;
    if (!rows_fit && !columns_fit) break;
    if (rows_fit && (!columns_fit || split.rows >= split.columns)) {
      split.rows = pieces_of(pieces_of(m, 2 * split.n_row_tasks), kRowUnit) * kRowUnit;
    } else {
      split.columns = pieces_of(pieces_of(n, 2 * split.n_column_tasks), kColumnUnit) * kColumnUnit;
    }
    split.n_row_tasks = pieces_of(m, split.rows);
    split.n_column_tasks = pieces_of(n, split.columns);
  }
  return split;
}

}  // namespace

size_t gemm_workspace_bytes(const Context& ctx, int64_t m, int64_t n, int64_t k) {
  const int64_t n_threads = ctx.threads->n_threads();
  // Any thread may take any task; a single one runs on the caller. As if tasks were whole: a plan
  // for the most rows must also do for fewer, which may be split less.
  const int64_t n_slots = tasks_wanted(n_threads, m, n, k) > 1 ? n_threads : 1;
  const int64_t floats =
      n_slots * gemm_block_scratch(std::max<int64_t>(m, 1), std::max<int64_t>(n, 1), k);
  return static_cast<size_t>(floats) * sizeof(float);
}

void run_gemm(Context& ctx, const GemmProblem& problem, float* scratch) {
  if (problem.m == 0 || problem.n == 0) return;
  const Split split = choose_split(ctx.threads->n_threads(), problem.m, problem.n, problem.k);
  const int64_t slot = gemm_block_scratch(split.rows, split.columns, problem.k);
  const auto kernel = QE_ISA_SELECT(gemm_block);
  // Column by column: neighbouring tasks read the same part of b.
  ctx.threads->run(split.n_tasks(), [&](int64_t task, int thread) {
    const int64_t row = task % split.n_row_tasks * split.rows;
    const int64_t column = task / split.n_row_tasks * split.columns;
    kernel(problem, row, std::min(row + split.rows, problem.m), column,
           std::min(column + split.columns, problem.n), scratch + thread * slot);
  });
}

void gemm(Context& ctx, const Gemm& args, float* scratch) {
  run_gemm(ctx,
           {.m = args.c.rows,
            .n = args.c.cols,
            .k = args.a_transposed ? args.a.rows : args.a.cols,
            .a = args.a.f32(),
            .a_stride = args.a.stride,
            .a_transposed = args.a_transposed,
            .b = args.b.data,
            .b_stride = args.b.stride,
            .b_dtype = args.b.dtype,
            .b_transposed = args.b_transposed,
            .alpha = args.alpha,
            .bias = args.bias ? args.bias.f32() : nullptr,
            .c = args.c.f32(),
            .c_stride = args.c.stride,
            .accumulate = args.mode == GradientMode::kAccumulate},
           scratch);
}

}  // namespace qe::cpu
