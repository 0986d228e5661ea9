// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Ops whose CUDA kernels are still being written.
#include "kernels/core/error.h"
#include "kernels/cuda/adamw8.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/matmul4.h"
#include "kernels/cuda/mlm_loss.h"
#include "kernels/cuda/quant4.h"

namespace qe::cuda {

void adamw8_step(Context&, const Adamw8Span&) { fail("adamw8_step: no CUDA kernel yet"); }
size_t gemm_workspace_bytes(const Context&, int64_t, int64_t, int64_t) { return 0; }
void gemm(Context&, const Gemm&, float*) { fail("gemm: no CUDA kernel yet"); }
void add_matrix(Context&, const Tensor&, const Tensor&) { fail("add_matrix: no CUDA kernel yet"); }
void matmul4_forward(Context&, const Tensor&, const Quant4Matrix&, const Tensor&, const Tensor&,
                     float*) {
  fail("matmul4_forward: no CUDA kernel yet");
}
void matmul4_backward(Context&, const Tensor&, const Quant4Matrix&, const Tensor&, GradientMode,
                      float*) {
  fail("matmul4_backward: no CUDA kernel yet");
}
void mlm_loss_rows(Context&, const MlmLossRows&) { fail("mlm_loss_rows: no CUDA kernel yet"); }
void quantize4(Context&, const Tensor&, Quant4Matrix&, float*) {
  fail("quantize4: no CUDA kernel yet");
}
void dequantize4(Context&, const Quant4Matrix&, const Tensor&) {
  fail("dequantize4: no CUDA kernel yet");
}

}  // namespace qe::cuda
