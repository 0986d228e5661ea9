// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Linears with low-rank adapters (Hu et al. 2021, arXiv:2106.09685): y = x W^T + bias + scale *
// B(A(dropout(x))), with a frozen W. Linears that read the same x (queries, keys and values) are
// one call: x is read once for all of them, and dropout draws one mask. Rows of one packed batch
// may use different adapters: each segment names its rows. Training has one segment, serving many.

#include <optional>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/activation.h"
#include "kernels/ops/dropout.h"
#include "kernels/ops/quant4.h"

namespace qe {

inline constexpr size_t kMaxLoraParts = 3;

/// Rows [row_begin, row_end) use the pair (A, B). Segments do not overlap; rows outside all of them
/// get the base alone.
struct LoraSegment {
  int64_t row_begin = 0;
  int64_t row_end = 0;
  Tensor a;  ///< (R, K)
  Tensor b;  ///< (N, R)
  float scale = 1.0f;
};

/// One of the Linears over x. Its W is dense or in 4 bits.
struct LoraLinear {
  Tensor dense;                             ///< (N, K) F32, F16 or BF16 (GPU: the compute type), or
  const Quant4Matrix* quantized = nullptr;  ///< (N, K)
  Tensor bias;                              ///< (1, N) of the compute type, nullable
  std::span<const LoraSegment> segments;    ///< none: the base alone
  Tensor d_a;                               ///< (R, K) fp32, nullable, accumulated by backward
  Tensor d_b;                               ///< (N, R) fp32, nullable, accumulated by backward

  int64_t n() const { return quantized ? quantized->n : dense.rows; }
  int64_t k() const { return quantized ? quantized->k : dense.cols; }
  /// The largest of the segments.
  int64_t rank() const;
};

/// How base and adapters meet. Joined, they are one product: y = [x | t] [W | B]^T and d_x = [dy |
/// u] [W; A], with W decoded into scratch beside B and A. There is no pass over y and d_x for the
/// adapters' share, and the parts' products are one. It takes one segment of all rows for every
/// adapted part, and t (u) in the very rows of x (dy), right behind their columns.
enum class LoraProducts { kChoose, kApart, kJoined };

struct LoraForward {
  Tensor x;         ///< (T, K)
  Dropout dropout;  ///< of x, for the adapters; its row_samples cover all T rows
  std::span<const LoraLinear> parts;
  Tensor t;  ///< (T, sum of ranks) out, saved for backward: scale * dropout(x) A^T, part by part
  Tensor y;  ///< (T, sum of N) out: part by part
  LoraProducts products = LoraProducts::kChoose;
};
/// Activations are of the compute type. kChoose on the CPU: apart, so that no bit depends on which
/// Linears share a call. Scratch: joined, W of all parts in the compute type with A and B; dropped
/// x (T * K elements) when dropout.p > 0; and the products'.
void lora_forward(Context& ctx, const LoraForward& args);

struct LoraBackward {
  Tensor x;                              ///< (T, K); read for d_a only
  std::optional<Activation> activation;  ///< the Linears read activation(x), computed again here
  Dropout dropout;                       ///< as in forward
  std::span<const LoraLinear> parts;     ///< with at most one segment each
  Tensor t;                              ///< (T, sum of ranks) from forward; read for d_b only
  Tensor dy;                             ///< (T, sum of N)
  Tensor u;    ///< (T, sum of ranks) scratch; nullable: the op takes its own
  Tensor d_x;  ///< (T, K) nullable out: of what the Linears read
  GradientMode d_x_mode = GradientMode::kAccumulate;
  LoraProducts products = LoraProducts::kChoose;
};
/// u = scale * dy B; d_b += dy^T t; d_a += u^T dropout(x); d_x = [d_x +] dy W + dropout'(u A). Sums
/// over rows run in ascending order (GPU: in an order that the shape fixes). Scratch: u, where it
/// is absent; W as in forward; with dropout or an activation T * K elements more; and the
/// products'.
void lora_backward(Context& ctx, const LoraBackward& args);

/// Columns that the caller should leave behind those of x (of dy) for joined products of adapters
/// whose ranks sum to `ranks`: none on the CPU.
int64_t lora_room(const Context& ctx, int64_t ranks);

}  // namespace qe
