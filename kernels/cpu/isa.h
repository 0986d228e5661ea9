// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Which instruction set the CPU backend runs on, chosen once, when first asked.
//
// Numeric code lives in kernels/cpu/<op>_kernel.cpp. Each such file is compiled once per
// instruction set, every time into a namespace of that name (qe::cpu::scalar, qe::cpu::avx2 ...;
// the macro QE_ISA, see simd.h), and all builds give the same bits. <op>_kernel.h declares its
// functions for all of them with QE_PER_ISA; the generic driver <op>.cpp, which owns the thread
// loop, takes the one to run with QE_ISA_SELECT:
//
//   QE_PER_ISA(void scale_rows(const ScaleRows& args, int64_t begin, int64_t end);)
//   ...
//   const auto kernel = QE_ISA_SELECT(scale_rows);
//   ctx.threads->run(n_tasks, [&](int64_t task, int) { kernel(args, ...); });

#include <string_view>

namespace qe::cpu {

enum class Isa {
  kScalar,
  kAvx2,    ///< AVX2, FMA and F16C
  kAvx512,  ///< AVX-512 F, BW, DQ and VL
  kNeon,
};

/// The instruction set in use: the best this machine has, or the one that the environment variable
/// QE_FORCE_ISA names (scalar, avx2, avx512, neon). Throws Error when that is unknown or not
/// supported here.
Isa isa();
/// Its name, as QE_FORCE_ISA spells it.
std::string_view isa_name();
/// The name that a build of the numeric code carries inside, taken from the compiler's own macros:
/// what really runs.
std::string_view running_isa_name();
/// Whether this build and this machine have it.
bool isa_supported(Isa isa);
std::string_view isa_name(Isa isa);

/// For tests: runs on another instruction set while it lives. Must be supported. Not for use while
/// other threads run ops.
class ScopedIsa {
 public:
  explicit ScopedIsa(Isa isa);
  ~ScopedIsa();
  ScopedIsa(const ScopedIsa&) = delete;
  ScopedIsa& operator=(const ScopedIsa&) = delete;

 private:
  Isa previous_;
};

}  // namespace qe::cpu

#if defined(__x86_64__)
#define QE_PER_ISA(...) \
  namespace scalar {    \
  __VA_ARGS__           \
  }                     \
  namespace avx2 {      \
  __VA_ARGS__           \
  }                     \
  namespace avx512 {    \
  __VA_ARGS__           \
  }
#define QE_ISA_SELECT(FUNCTION)                                               \
  (::qe::cpu::isa() == ::qe::cpu::Isa::kAvx512 ? &::qe::cpu::avx512::FUNCTION \
   : ::qe::cpu::isa() == ::qe::cpu::Isa::kAvx2 ? &::qe::cpu::avx2::FUNCTION   \
                                               : &::qe::cpu::scalar::FUNCTION)
#elif defined(__aarch64__)
#define QE_PER_ISA(...) \
  namespace scalar {    \
  __VA_ARGS__           \
  }                     \
  namespace neon {      \
  __VA_ARGS__           \
  }
#define QE_ISA_SELECT(FUNCTION)                                           \
  (::qe::cpu::isa() == ::qe::cpu::Isa::kNeon ? &::qe::cpu::neon::FUNCTION \
                                             : &::qe::cpu::scalar::FUNCTION)
#else
#define QE_PER_ISA(...) \
  namespace scalar {    \
  __VA_ARGS__           \
  }
#define QE_ISA_SELECT(FUNCTION) (&::qe::cpu::scalar::FUNCTION)
#endif
