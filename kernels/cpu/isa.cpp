// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/isa.h"

#include <atomic>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels/core/error.h"
#include "kernels/cpu/isa_kernel.h"

namespace qe::cpu {
namespace {

constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};
constexpr int kUndecided = -1;

Isa choose() {
  const char* forced = std::getenv("QE_FORCE_ISA");
  if (forced != nullptr && *forced != '\0') {
    for (const Isa candidate : kAll) {
      if (isa_name(candidate) != forced) continue;
      QE_CHECK(isa_supported(candidate), "QE_FORCE_ISA is \"", forced,
               "\", which this machine or this build does not support");
      return candidate;
    }
    fail("QE_FORCE_ISA is \"", forced, "\", expected scalar, avx2, avx512 or neon");
  }
  for (const Isa candidate : {Isa::kAvx512, Isa::kAvx2, Isa::kNeon}) {
    if (isa_supported(candidate)) return candidate;
  }
  return Isa::kScalar;
}

// The one process-wide choice; a property of the machine, not of any executor.
std::atomic<int> g_isa{kUndecided};

}  // namespace

Isa isa() {
  int chosen = g_isa.load(std::memory_order_relaxed);
  if (chosen == kUndecided) {
    chosen = static_cast<int>(choose());
    g_isa.store(chosen, std::memory_order_relaxed);
  }
  return static_cast<Isa>(chosen);
}

std::string_view isa_name() { return isa_name(isa()); }

std::string_view running_isa_name() { return QE_ISA_SELECT(compiled_isa_name)(); }

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
    case Isa::kScalar:
      break;
  }
  return "scalar";
}

bool isa_supported(Isa isa) {
  if (isa == Isa::kScalar) return true;
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
  const bool avx2 = f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return false;
#elif defined(__aarch64__)
  return isa == Isa::kNeon;
#else
  return false;
#endif
}

ScopedIsa::ScopedIsa(Isa isa) : previous_(qe::cpu::isa()) {
  QE_CHECK(isa_supported(isa), isa_name(isa), " is not supported here");
  g_isa.store(static_cast<int>(isa), std::memory_order_relaxed);
}

ScopedIsa::~ScopedIsa() { g_isa.store(static_cast<int>(previous_), std::memory_order_relaxed); }

}  // namespace qe::cpu
