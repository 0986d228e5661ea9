// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A second's worth of the engine's own work, compared with known answers.

#include <string>
#include <vector>

namespace qe::tools {

struct SelfCheck {
  std::string name;
  bool ok = false;
  std::string detail;  ///< the error found, beside what is allowed
};

/// Quantizes and decodes a vector, and multiplies two matrices: against double precision, and
/// against the bits that every machine gives. Does not throw.
std::vector<SelfCheck> run_self_checks();

}  // namespace qe::tools
