// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Lines over two axes as one self-contained SVG, which any browser shows.

#include <string>
#include <vector>

namespace qe {

struct PlotPoint {
  double x = 0;
  double y = 0;  ///< not finite (or, on a logarithmic axis, not above 0): a gap, marked on the axis
};

struct PlotLine {
  std::string name;               ///< in the legend
  std::vector<PlotPoint> points;  ///< in ascending order of x, which is finite
  size_t colour = 0;              ///< lines of equal numbers have the same
  bool dotted = false;            ///< few points: each a dot, joined by a dashed line
  double smoothing = 0;           ///< [0, 1): see smoothed(); the points themselves show through
};

struct PlotLabels {
  std::string title, x, y;
  bool logarithmic = false;  ///< the y axis
};

/// The document. Lines of many points are thinned to what can be seen: the lowest and the highest
/// of each column of pixels.
std::string line_plot_svg(const std::vector<PlotLine>& lines, const PlotLabels& labels);

/// The exponential mean of the points so far, whose weights fall by the factor `smoothing` from
/// point to point, over the sum of weights (so the first value is the first point's). Gaps stay
/// gaps, and are passed over.
std::vector<PlotPoint> smoothed(const std::vector<PlotPoint>& points, double smoothing);

/// An axis: what it shows, and where numbers stand on it. Tested on its own.
struct PlotAxis {
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<double> ticks;         ///< round numbers within [low, high], ascending
  std::vector<std::string> numbers;  ///< of the ticks

  /// Of about n_ticks steps of 1, 2 or 5 times a power of ten, not below least_step. to_ticks:
  /// begins and ends at one.
  static PlotAxis linear(double low, double high, int n_ticks, bool to_ticks,
                         double least_step = 0);
  /// Of powers of ten, or of round numbers between them where there are few. 0 < low <= high.
  static PlotAxis of_logarithms(double low, double high, int n_ticks);
  /// 0 at low, 1 at high.
  double place(double value) const;
};

}  // namespace qe
