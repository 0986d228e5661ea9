// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/random.h"

#include <algorithm>

#include "kernels/core/random_word.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

constexpr int64_t kPerTask = 1 << 18;

template <class Body>
void in_ranges(Context& ctx, int64_t n, const Body& body) {
  run_tasks(ctx, (n + kPerTask - 1) / kPerTask,
            [&](int64_t task, int) { body(task * kPerTask, std::min(n, (task + 1) * kPerTask)); });
}

template <class T, class Convert>
void fill(Context& ctx, uint64_t stream, float limit, T* out, int64_t n, const Convert& convert) {
  const float unit = limit * 0x1p-31f;
  in_ranges(ctx, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 2) {
      const uint64_t word = random_word(stream, static_cast<uint64_t>(i) / 2);
      out[i] = convert(random_element(word, 0, unit));
      if (i + 1 < end) out[i + 1] = convert(random_element(word, 1, unit));
    }
  });
}

}  // namespace

void random_uniform(Context& ctx, uint64_t stream, float limit, const Tensor& out) {
  const int64_t n = out.size();
  if (out.dtype == DType::kF32) {
    return fill(ctx, stream, limit, out.f32(), n, [](float x) { return x; });
  }
  auto* const halves = static_cast<uint16_t*>(out.data);
  if (out.dtype == DType::kF16) return fill(ctx, stream, limit, halves, n, to_f16);
  fill(ctx, stream, limit, halves, n, to_bf16);
}

void random_bytes(Context& ctx, uint64_t stream, std::span<uint8_t> out) {
  in_ranges(ctx, static_cast<int64_t>(out.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t word = random_word(stream, static_cast<uint64_t>(i) / 8);
      out[static_cast<size_t>(i)] = static_cast<uint8_t>(word >> (i % 8 * 8));
    }
  });
}

}  // namespace qe::cpu
