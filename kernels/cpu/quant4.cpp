// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/quant4.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu/quant4_kernel.h"

namespace qe::cpu {
namespace {

constexpr int64_t kElementsPerTask = 1 << 16;  // a multiple of every block size
constexpr int64_t kNestedBlock = 256;

// The entry of the ascending map (256) nearest to x; a tie takes the even index.
uint8_t nearest_code(const float* map, float x) {
  const float* above = std::upper_bound(map, map + 256, x);
  if (above == map) return 0;
  if (above == map + 256) return 255;
  const int64_t low = above - map - 1;
  const float middle = (map[low] + map[low + 1]) * 0.5f;
  if (x == middle) return static_cast<uint8_t>(low + (low & 1));
  return static_cast<uint8_t>(x < middle ? low : low + 1);
}

// absmax (m) to 8-bit codes: the mean is taken off, then blocks of 256 are scaled by their largest
// magnitude. m is small (1/64 of the weights): plain code, one thread.
void quantize_scales(const float* absmax, Quant4Matrix& out) {
  const int64_t m = out.n_blocks();
  double sum = 0.0;
  for (int64_t i = 0; i < m; ++i) sum += static_cast<double>(absmax[i]);
  out.nested_offset = m > 0 ? static_cast<float>(sum / static_cast<double>(m)) : 0.0f;
  for (int64_t begin = 0; begin < m; begin += kNestedBlock) {
    const int64_t end = std::min(begin + kNestedBlock, m);
    float largest = 0.0f;
    for (int64_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::abs(absmax[i] - out.nested_offset));
    }
    out.nested_absmax[begin / kNestedBlock] = largest;
    const float reciprocal = 1.0f / largest;
    for (int64_t i = begin; i < end; ++i) {
      const float centred = absmax[i] - out.nested_offset;
      out.absmax_codes[i] =
          nearest_code(out.nested_map, centred == 0.0f ? 0.0f : centred * reciprocal);
    }
  }
}

}  // namespace

Quant4View quant4_view(const Quant4Matrix& q) {
  return {.n = q.n,
          .k = q.k,
          .block_shift = std::countr_zero(static_cast<uint64_t>(q.block_size)),
          .dtype = q.dtype,
          .table = q.type == Quant4Type::kNf4 ? kNf4Values : kFp4Values,
          .codes = q.codes,
          .absmax = q.absmax,
          .absmax_codes = q.absmax_codes,
          .nested_absmax = q.nested_absmax,
          .nested_map = q.nested_map,
          .nested_offset = q.nested_offset};
}

void quantize4(Context& ctx, const Tensor& w, Quant4Matrix& out, float* absmax) {
  const Quant4Encode args{.w = w.data,
                          .dtype = w.dtype,
                          .n = w.size(),
                          .block_size = out.block_size,
                          .type = out.type,
                          .codes = out.codes,
                          .absmax = absmax};
  const auto kernel = QE_ISA_SELECT(quant4_encode_blocks);
  const int64_t blocks_per_task = kElementsPerTask / out.block_size;
  const int64_t n_tasks = (args.n + kElementsPerTask - 1) / kElementsPerTask;
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> first_bad{kNone};
  ctx.threads->run(n_tasks, [&](int64_t task, int) {
    const int64_t begin = task * blocks_per_task;
    const int64_t bad = kernel(args, begin, std::min(begin + blocks_per_task, out.n_blocks()));
    int64_t seen = first_bad.load();
    while (bad >= 0 && bad < seen && !first_bad.compare_exchange_weak(seen, bad)) {
    }
  });
  const int64_t bad = first_bad.load();
  QE_CHECK(bad == kNone, "quantize4: expected finite weights, got NaN or infinity at row ",
           bad / w.cols, ", column ", bad % w.cols);
  if (out.nested()) quantize_scales(absmax, out);
}

void dequantize4(Context& ctx, const Quant4Matrix& q, const Tensor& out) {
  const Quant4View view = quant4_view(q);
  const int64_t n = out.size();
  const auto kernel = QE_ISA_SELECT(quant4_decode_range);
  ctx.threads->run((n + kElementsPerTask - 1) / kElementsPerTask, [&](int64_t task, int) {
    const int64_t begin = task * kElementsPerTask;
    const int64_t end = std::min(begin + kElementsPerTask, n);
    if (out.stride == out.cols) return kernel(view, begin, end, out.data, out.dtype);
    for (int64_t row = begin / out.cols; row * out.cols < end; ++row) {
      // Elements keep their numbers along the flattened matrix.
      const int64_t shift = row * (out.stride - out.cols);
      kernel(view, std::max(begin, row * out.cols), std::min(end, (row + 1) * out.cols),
             out.col_range(shift, 0).data, out.dtype);
    }
  });
}

}  // namespace qe::cpu
