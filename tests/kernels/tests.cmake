# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
qe_test(qe_kernels_tests qe_kernels
  kernels/simd_test.cpp)
