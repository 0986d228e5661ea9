// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/line_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

// Pixels.
constexpr double kWidth = 840, kPlotHeight = 360, kRight = 28, kBottom = 56;
constexpr double kTitle = 40, kLegendRow = 22, kLetter = 7.0;  // a letter's width, generously

// Told apart by everyone (Okabe and Ito 2008, "Color Universal Design"), without their yellow.
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#444444"};

const char* colour_of(const PlotLine& line) { return kColours[line.colour % std::size(kColours)]; }

std::string pixel(double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.1f", value);
  return buffer;
}

/// Text of XML: valid UTF-8 without control characters.
std::string escaped(const std::string& text) {
  int64_t n_replaced = 0;
  std::string out;
  for (const char c : replace_invalid_utf8(text, n_replaced)) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string text_at(double x, double y, const std::string& attributes, const std::string& content) {
  return cat("<text x=\"", pixel(x), "\" y=\"", pixel(y), "\"", attributes.empty() ? "" : " ",
             attributes, ">", escaped(content), "</text>\n");
}

/// Names of many letters lose their beginning: folders differ at their end.
std::string short_name(const std::string& name) {
  constexpr int64_t kLongest = 44;
  int64_t n_replaced = 0;
  const std::string valid = replace_invalid_utf8(name, n_replaced);
  const int64_t n = count_code_points(valid);
  if (n <= kLongest) return valid;
  size_t at = 0;
  for (int64_t i = 0; i < n - kLongest + 1; ++i) next_code_point(valid, at);
  return "…" + valid.substr(at);
}

struct Frame {
  PlotAxis x, y;
  double left = 0, top = 0;

  bool shows(const PlotPoint& p) const { return std::isfinite(p.y) && (!y.logarithmic || p.y > 0); }
  double width() const { return kWidth - kRight - left; }
  double bottom() const { return top + kPlotHeight; }
  double x_of(double value) const { return left + x.place(value) * width(); }
  double y_of(double value) const { return bottom() - y.place(value) * kPlotHeight; }
  std::string at(const PlotPoint& p) const { return pixel(x_of(p.x)) + "," + pixel(y_of(p.y)); }
};

/// Runs of points without a gap.
std::vector<std::vector<PlotPoint>> pieces_of(const std::vector<PlotPoint>& points,
                                              const Frame& frame) {
  std::vector<std::vector<PlotPoint>> pieces;
  bool open = false;
  for (const PlotPoint& point : points) {
    if (frame.shows(point)) {
      if (!open) pieces.emplace_back();
      pieces.back().push_back(point);
    }
    open = frame.shows(point);
  }
  return pieces;
}

/// Of the points of each column of pixels the first, the lowest, the highest and the last.
std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points, const Frame& frame) {
  if (points.size() < 4 * static_cast<size_t>(frame.width())) return points;
  std::vector<PlotPoint> out;
  for (size_t begin = 0, end = 0; begin < points.size(); begin = end) {
    const double column = std::floor(frame.x_of(points[begin].x));
    size_t low = begin, high = begin;
    for (end = begin; end < points.size() && std::floor(frame.x_of(points[end].x)) == column;
         ++end) {
      if (points[end].y < points[low].y) low = end;
      if (points[end].y > points[high].y) high = end;
    }
    size_t keep[] = {begin, std::min(low, high), std::max(low, high), end - 1};
    for (const size_t* at = keep; at != std::unique(std::begin(keep), std::end(keep)); ++at) {
      out.push_back(points[*at]);
    }
  }
  return out;
}

std::string path_of(const std::vector<PlotPoint>& points, const Frame& frame,
                    const std::string& style) {
  std::string out;
  for (const std::vector<PlotPoint>& piece : pieces_of(points, frame)) {
    if (piece.size() < 2) continue;
    out += "<polyline points=\"";
    for (const PlotPoint& point : thinned(piece, frame)) out += frame.at(point) + " ";
    out.back() = '"';
    out += cat(" ", style, "/>\n");
  }
  return out;
}

std::string dot(const Frame& frame, const PlotPoint& point, double radius) {
  return cat("<circle cx=\"", pixel(frame.x_of(point.x)), "\" cy=\"", pixel(frame.y_of(point.y)),
             "\" r=\"", pixel(radius), "\"/>\n");
}

/// Crosses on the x axis where points could not be drawn, one a few pixels.
std::string gaps(const PlotLine& line, const Frame& frame) {
  std::string out;
  double last = -1e9;
  for (const PlotPoint& point : line.points) {
    const double x = frame.x_of(point.x);
    if (frame.shows(point) || x - last < 7) continue;
    last = x;
    out += cat("<path d=\"M", pixel(x - 3), " ", pixel(frame.bottom() - 3), "l6 6m0 -6l-6 6\"/>\n");
  }
  return out.empty()
             ? out
             : cat("<g stroke=\"", colour_of(line), "\" stroke-width=\"1.6\">\n", out, "</g>\n");
}

std::string drawn(const PlotLine& line, const Frame& frame) {
  std::string out = cat("<g fill=\"none\" stroke=\"", colour_of(line),
                        "\" stroke-linejoin=\"round\" stroke-linecap=\"round\">\n");
  if (line.smoothing > 0) {
    out += path_of(line.points, frame, "stroke-width=\"1\" stroke-opacity=\"0.25\"");
  }
  out += path_of(
      line.smoothing > 0 ? smoothed(line.points, line.smoothing) : line.points, frame,
      line.dotted ? "stroke-width=\"1.6\" stroke-dasharray=\"1 4\"" : "stroke-width=\"1.8\"");
  out += "</g>\n";
  std::string dots;
  for (const std::vector<PlotPoint>& piece : pieces_of(line.points, frame)) {
    if (!line.dotted && piece.size() > 1) continue;  // alone: no line shows it
    for (const PlotPoint& point : thinned(piece, frame)) dots += dot(frame, point, 3.4);
  }
  if (!dots.empty()) {
    out += cat("<g fill=\"", colour_of(line), "\" stroke=\"#fff\" stroke-width=\"0.8\">\n", dots,
               "</g>\n");
  }
  return out + gaps(line, frame);
}

std::string grid(const Frame& frame, const PlotLabels& labels) {
  const double right = kWidth - kRight, bottom = frame.bottom();
  std::string lines, numbers;
  for (size_t i = 0; i < frame.y.ticks.size(); ++i) {
    const double y = frame.y_of(frame.y.ticks[i]);
    lines += cat("M", pixel(frame.left), " ", pixel(y), "H", pixel(right));
    numbers += text_at(frame.left - 10, y + 4, "text-anchor=\"end\"", frame.y.numbers[i]);
  }
  std::string marks;
  for (size_t i = 0; i < frame.x.ticks.size(); ++i) {
    const double x = frame.x_of(frame.x.ticks[i]);
    marks += cat("M", pixel(x), " ", pixel(bottom), "v5");
    numbers += text_at(x, bottom + 20, "text-anchor=\"middle\"", frame.x.numbers[i]);
  }
  std::string out =
      cat("<path d=\"", lines, "\" stroke=\"#e6e6e6\"/>\n<path d=\"M", pixel(frame.left), " ",
          pixel(bottom), "H", pixel(right), marks,
          "\" stroke=\"#777\" fill=\"none\"/>\n<g fill=\"#555\">\n", numbers, "</g>\n");
  const double middle = (frame.top + bottom) / 2;
  out += text_at((frame.left + right) / 2, bottom + 42, "text-anchor=\"middle\"", labels.x);
  return out +
         text_at(20, middle,
                 cat("text-anchor=\"middle\" transform=\"rotate(-90 20 ", pixel(middle), ")\""),
                 cat(labels.y, labels.logarithmic ? " (logarithmic)" : ""));
}

/// Entries in as many rows as they take; moves `top` below them.
std::string legend(const std::vector<PlotLine>& lines, double left, double& top) {
  std::string out;
  double x = left;
  const auto start_row = [&] {
    x = left;
    top += kLegendRow;
  };
  bool any_gap = false;
  for (const PlotLine& line : lines) {
    const std::string name = short_name(line.name);
    const double width = 34 + kLetter * static_cast<double>(count_code_points(name)) + 22;
    if (x > left && x + width > kWidth - kRight + 22) start_row();
    const char* dashes = line.dotted ? "\" stroke-dasharray=\"1 4\" stroke-linecap=\"round" : "";
    out += cat("<path d=\"M", pixel(x), " ", pixel(top - 4), "h24\" stroke=\"", colour_of(line),
               "\" stroke-width=\"2.4", dashes, "\"/>\n");
    if (line.dotted) {
      out += cat("<circle cx=\"", pixel(x + 12), "\" cy=\"", pixel(top - 4), "\" r=\"3.4\" fill=\"",
                 colour_of(line), "\"/>\n");
    }
    out += text_at(x + 32, top, "", name);
    x += width;
    any_gap = any_gap || std::any_of(line.points.begin(), line.points.end(),
                                     [](const PlotPoint& p) { return !std::isfinite(p.y); });
  }
  if (any_gap) {
    if (x > left && x + 120 > kWidth - kRight) start_row();
    out += text_at(x, top, "fill=\"#555\"", "×  not finite");
  }
  top += 16;
  return out;
}

/// The ends of what there is to show; 0 and 1 of nothing.
struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  Range or_unit(double least) const { return low > high ? Range{least, 1} : *this; }
};

PlotAxis x_axis(const Range& shown, bool whole_numbers) {
  double low = shown.low, high = shown.high;
  if (low > 0 && low < high / 2) low = 0;  // a run begins before its first number
  if (low >= high) {
    low = std::min(low, 0.0);
    high = std::max(high, low + 1);
  }
  return PlotAxis::linear(low, high, 8, false, whole_numbers ? 1 : 0);
}

}  // namespace

std::vector<PlotPoint> smoothed(const std::vector<PlotPoint>& points, double smoothing) {
  std::vector<PlotPoint> out = points;
  double sum = 0, weights = 0;
  for (PlotPoint& point : out) {
    if (!std::isfinite(point.y)) continue;
    sum = smoothing * sum + (1 - smoothing) * point.y;
    weights = smoothing * weights + (1 - smoothing);
    point.y = sum / weights;
  }
  return out;
}

std::string line_plot_svg(const std::vector<PlotLine>& lines, const PlotLabels& labels) {
  Range xs, ys;
  bool whole_numbers = true;
  for (const PlotLine& line : lines) {
    for (const PlotPoint& point : line.points) {
      xs.add(point.x);
      whole_numbers = whole_numbers && point.x == std::floor(point.x);
      if (std::isfinite(point.y) && (!labels.logarithmic || point.y > 0)) ys.add(point.y);
    }
  }
  xs = xs.or_unit(0), ys = ys.or_unit(labels.logarithmic ? 0.1 : 0);
  Frame frame{.x = x_axis(xs, whole_numbers),
              .y = labels.logarithmic ? PlotAxis::of_logarithms(ys.low, ys.high, 6)
                                      : PlotAxis::linear(ys.low, ys.high, 6, true),
              .top = kTitle + kLegendRow};
  size_t longest = 0;
  for (const std::string& number : frame.y.numbers) longest = std::max(longest, number.size());
  frame.left = 48 + kLetter * static_cast<double>(longest);
  const std::string entries = legend(lines, frame.left, frame.top);
  const double height = frame.bottom() + kBottom;

  std::string out = cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", kWidth, " ",
                        height, "\" width=\"", kWidth, "\" height=\"", height,
                        "\" font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\" "
                        "fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
  out += text_at(frame.left, kTitle - 8, "font-size=\"16\" font-weight=\"bold\"",
                 short_name(labels.title));
  out += entries;
  out += grid(frame, labels);
  for (const PlotLine& line : lines) out += drawn(line, frame);
  return out + "</svg>\n";
}

}  // namespace qe
