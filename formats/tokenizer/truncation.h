// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

namespace qe {

/// Which text of a pair is cut: the longer one first, both to halves when both are longer than
/// that; or one of them only.
enum class TruncationStrategy { kLongestFirst, kOnlyFirst, kOnlySecond };
enum class TruncationSide { kRight, kLeft };  ///< where tokens are cut off

}  // namespace qe
