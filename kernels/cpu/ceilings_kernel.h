// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The rate at which one core executes independent fp32 FMAs: the ceiling of every matrix product.

#include "kernels/cpu/isa.h"

namespace qe::cpu {

QE_PER_ISA(
    /// Runs 2^24 fused multiply-adds of 16 lanes each, without memory; returns GFLOP/s.
    double fma_gflops();)

}  // namespace qe::cpu
