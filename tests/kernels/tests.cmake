# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
qe_test(qe_kernels_tests qe_kernels
  kernels/activation_test.cpp
  kernels/adamw_test.cpp
  kernels/attention_test.cpp
  kernels/contract_test.cpp
  kernels/dropout_test.cpp
  kernels/embedding_test.cpp
  kernels/gemm_test.cpp
  kernels/layernorm_test.cpp
  kernels/lora_test.cpp
  kernels/matmul4_test.cpp
  kernels/mlm_loss_test.cpp
  kernels/quant4_test.cpp
  kernels/reduce_test.cpp
  kernels/simd_test.cpp
  kernels/topk_test.cpp)

# On demand: ninja qe_ops_bench.
add_executable(qe_ops_bench EXCLUDE_FROM_ALL bench/ops_bench.cpp)
target_link_libraries(qe_ops_bench PRIVATE qe_kernels)
