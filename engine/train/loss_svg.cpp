// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/loss_svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "kernels/core/error.h"

namespace qe {
namespace {

// Pixels.
constexpr double kWidth = 760, kHeight = 440;
constexpr double kLeft = 64, kRight = 24, kTop = 44, kBottom = 52;
constexpr const char* kTrainingColour = "#4a7ab5";
constexpr const char* kEvaluationColour = "#d1601f";

std::string number(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}
std::string pixel(double value) { return number("%.1f", value); }

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else
      out += c;
  }
  return out;
}

/// An axis from a round number below the data to one above it.
struct Axis {
  double low = 0, high = 1, tick = 1;
  int decimals = 0;

  /// About `n_ticks` steps of 1, 2 or 5 times a power of ten, not below `least`.
  Axis(double data_low, double data_high, int n_ticks, double least) {
    if (!(data_high > data_low)) data_high = data_low + std::max(least, std::fabs(data_low) * 0.1);
    const double rough = std::max((data_high - data_low) / n_ticks, least);
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
      tick = factor * power;
      if (tick >= rough * 0.999) break;
    }
    low = std::floor(data_low / tick + 1e-9) * tick;
    high = std::ceil(data_high / tick - 1e-9) * tick;
    decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(tick) - 1e-9)));
  }
  int n_ticks() const { return static_cast<int>(std::lround((high - low) / tick)); }
  std::string label(int i) const {
    return number(cat("%.", decimals, "f").c_str(), low + i * tick);
  }
  double place(double value) const { return (value - low) / (high - low); }
};

struct Frame {
  Axis x, y;
  std::string at(const LossPoint& point) const {
    return pixel(kLeft + x.place(point.step) * (kWidth - kLeft - kRight)) + "," +
           pixel(kHeight - kBottom - y.place(point.loss) * (kHeight - kTop - kBottom));
  }
};

std::string text(double x, double y, const char* attributes, const std::string& content) {
  return cat("<text x=\"", pixel(x), "\" y=\"", pixel(y), "\" ", attributes, ">", escaped(content),
             "</text>\n");
}

std::string grid(const Frame& frame) {
  std::string out;
  for (int i = 0; i <= frame.y.n_ticks(); ++i) {
    const double y = kHeight - kBottom - (kHeight - kTop - kBottom) * i / frame.y.n_ticks();
    out += cat("<path d=\"M", pixel(kLeft), " ", pixel(y), "H", pixel(kWidth - kRight),
               "\" stroke=\"", i == 0 ? "#888" : "#e4e4e4", "\"/>\n");
    out += text(kLeft - 8, y + 4, "text-anchor=\"end\"", frame.y.label(i));
  }
  for (int i = 0; i <= frame.x.n_ticks(); ++i) {
    const double x = kLeft + (kWidth - kLeft - kRight) * i / frame.x.n_ticks();
    out += cat("<path d=\"M", pixel(x), " ", pixel(kHeight - kBottom), "v5\" stroke=\"#888\"/>\n");
    out += text(x, kHeight - kBottom + 20, "text-anchor=\"middle\"", frame.x.label(i));
  }
  return out;
}

std::string line(const Frame& frame, const std::vector<LossPoint>& points, const char* colour,
                 bool dots) {
  std::string out = "<polyline points=\"";
  for (const LossPoint& point : points) out += frame.at(point) + " ";
  out += cat("\" fill=\"none\" stroke=\"", colour, "\" stroke-width=\"", dots ? "2" : "1.5",
             "\" stroke-linejoin=\"round\"/>\n");
  if (!dots && points.size() != 1) return out;
  for (const LossPoint& point : points) {
    const std::string at = frame.at(point);
    const size_t comma = at.find(',');
    out += cat("<circle cx=\"", at.substr(0, comma), "\" cy=\"", at.substr(comma + 1),
               "\" r=\"3.5\" fill=\"", colour, "\"/>\n");
  }
  return out;
}

std::string legend_entry(double x, const char* colour, const std::string& label) {
  return cat("<path d=\"M", pixel(x), " ", pixel(kTop - 18), "h22\" stroke=\"", colour,
             "\" stroke-width=\"3\"/>\n", text(x + 28, kTop - 14, "", label));
}

std::vector<LossPoint> finite(const std::vector<LossPoint>& points) {
  std::vector<LossPoint> out;
  for (const LossPoint& point : points)
    if (std::isfinite(point.loss) && std::isfinite(point.step)) out.push_back(point);
  return out;
}

}  // namespace

std::string loss_svg(const std::string& title, const std::vector<LossPoint>& training,
                     const std::vector<LossPoint>& evaluation) {
  const std::vector<LossPoint> train = finite(training), eval = finite(evaluation);
  double last_step = 0, low = std::numeric_limits<double>::infinity(), high = -low;
  for (const auto* points : {&train, &eval})
    for (const LossPoint& point : *points) {
      last_step = std::max(last_step, point.step);
      low = std::min(low, point.loss);
      high = std::max(high, point.loss);
    }
  if (low > high) low = 0, high = 1;  // nothing to show
  const Frame frame{Axis(0, last_step, 8, 1), Axis(low, high, 6, 1e-4)};

  std::string out = cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", kWidth, " ",
                        kHeight, "\" width=\"", kWidth, "\" height=\"", kHeight,
                        "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
                        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
  out += text(kLeft, kTop - 14, "font-size=\"15\" font-weight=\"bold\"", title);
  out += grid(frame);
  out += text((kLeft + kWidth - kRight) / 2, kHeight - 12, "text-anchor=\"middle\"", "update");
  out += text(18, (kTop + kHeight - kBottom) / 2,
              cat("text-anchor=\"middle\" transform=\"rotate(-90 18 ",
                  pixel((kTop + kHeight - kBottom) / 2), ")\"")
                  .c_str(),
              "loss");
  double legend = kWidth - kRight - (train.empty() ? 0 : 130) - (eval.empty() ? 0 : 130);
  if (!train.empty()) {
    out += line(frame, train, kTrainingColour, false);
    out += legend_entry(legend, kTrainingColour, "training loss");
    legend += 130;
  }
  if (!eval.empty()) {
    out += line(frame, eval, kEvaluationColour, true);
    out += legend_entry(legend, kEvaluationColour, "evaluation loss");
  }
  return out + "</svg>\n";
}

}  // namespace qe
