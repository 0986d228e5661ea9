// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The loss curve of a run as a picture that any browser shows: one self-contained SVG.

#include <string>
#include <vector>

namespace qe {

struct LossPoint {
  double step = 0;
  double loss = 0;  ///< points that are not finite are left out
};

/// An SVG document with axes, training loss as a line, evaluation loss as a line with dots, and a
/// legend. Points in ascending order of steps; either list may be empty.
std::string loss_svg(const std::string& title, const std::vector<LossPoint>& training,
                     const std::vector<LossPoint>& evaluation);

}  // namespace qe
