// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What is compiled for the host and for GPUs.

#ifdef __CUDACC__
#define QE_HOST_DEVICE __host__ __device__
#else
// Always inlined, so that no copy compiled for one instruction set is kept for another
// (kernels/cpu/simd.h).
#define QE_HOST_DEVICE [[gnu::always_inline]]
#endif
