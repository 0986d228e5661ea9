// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What each build of the numeric code says about itself.

#include "kernels/cpu/isa.h"

namespace qe::cpu {

QE_PER_ISA(const char* compiled_isa_name();)

}  // namespace qe::cpu
