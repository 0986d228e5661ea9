// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a machine lacks for this program, and how to mend it: rules over what was found, which
// tests make up.

#include <string>
#include <vector>

#include "tools/machine.h"
#include "tools/self_check.h"

namespace qe::tools {

/// Something that is missing, and how to mend it: a line each.
struct Finding {
  std::string what, mend;
};

struct Diagnosis {
  Machine machine;
  GpuDriver driver;
  std::string backend;          ///< the CPU's instruction set
  bool forced_backend = false;  ///< by QE_FORCE_ISA
  bool built_with_cuda = false;
  int n_usable_gpus = 0;        ///< that the CUDA runtime of this program gives
  std::string unusable_reason;  ///< its words where there is none
  std::string cublaslt;         ///< the library found; "" none
  std::vector<SelfCheck> checks;

  /// All checks hold.
  bool healthy() const;
};

std::vector<Finding> find_problems(const Diagnosis& diagnosis);

}  // namespace qe::tools
