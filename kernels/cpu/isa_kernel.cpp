// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/isa_kernel.h"

#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {

// From the compiler's macros, not from ours: wrong flags in the build show here.
const char* compiled_isa_name() {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
  return "avx512";
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
  return "avx2";
#elif defined(QE_SIMD_NEON)
  return "neon";
#else
  return "scalar";
#endif
}

}  // namespace qe::cpu::QE_ISA
