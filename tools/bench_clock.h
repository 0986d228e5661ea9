// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What rounds of a benchmark on the host took.

#include <vector>

namespace qe::tools {

/// Seconds of the CPU that all threads of this process have used.
double process_cpu_seconds();

/// Of at least one value.
double median_of(std::vector<double> values);

}  // namespace qe::tools
