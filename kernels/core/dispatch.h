// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Where an op's two backends part. Used in kernels/ops/*.cpp only, after the contract was checked.

#include "kernels/core/context.h"
#include "kernels/core/error.h"

/// Calls cpu::FUNCTION or cuda::FUNCTION (both in namespace qe) by the context's device. A backend
/// that this build lacks is an error, not a link error. QE_DISPATCH calls nothing while planning;
/// QE_ON_DEVICE is an expression and always calls what planning itself asks: workspace sizes, which
/// every build has (kernels/cuda/workspace.cpp).
#define QE_ON_DEVICE(device_kind, FUNCTION, ...)                              \
  ((device_kind) == ::qe::DeviceKind::kCpu ? ::qe::cpu::FUNCTION(__VA_ARGS__) \
                                           : ::qe::cuda::FUNCTION(__VA_ARGS__))
#ifdef QE_WITH_CUDA
#define QE_DISPATCH(ctx, FUNCTION, ...)                \
  do {                                                 \
    if ((ctx).planning) break;                         \
    if ((ctx).device.kind == ::qe::DeviceKind::kCpu) { \
      ::qe::cpu::FUNCTION(__VA_ARGS__);                \
    } else {                                           \
      ::qe::cuda::FUNCTION(__VA_ARGS__);               \
    }                                                  \
  } while (0)
#else
#define QE_DISPATCH(ctx, FUNCTION, ...)                         \
  do {                                                          \
    if ((ctx).planning) break;                                  \
    if ((ctx).device.kind != ::qe::DeviceKind::kCpu) {          \
      ::qe::fail(#FUNCTION ": this build has no CUDA backend"); \
    }                                                           \
    ::qe::cpu::FUNCTION(__VA_ARGS__);                           \
  } while (0)
#endif
