// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The algorithms of matrix products that were chosen by timing, as text that a checkpoint carries:
// a line for the library, the GPU and the way of choosing, then a line for each shape.

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace qe::cuda {

/// What an algorithm is chosen for (kernels/cuda/cublaslt.cpp).
using ProductKey = std::array<int64_t, 14>;
/// cuBLASLt's own description of an algorithm.
using Algorithm = std::array<uint64_t, 8>;
using AlgorithmChoices = std::map<ProductKey, Algorithm>;

std::string choices_text(const std::string& made_by, const AlgorithmChoices& choices);

/// Reads such a text into `choices`. Returns "" or, `choices` unchanged, why it is of no use to
/// `reader`: made by another, or damaged. The text is untrusted.
std::string read_choices(const std::string& text, const std::string& reader,
                         AlgorithmChoices& choices);

}  // namespace qe::cuda
