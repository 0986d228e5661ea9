// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The axes of line_plot.h: round numbers, and how they are written.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "formats/line_plot.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

/// 1, 2 or 5 times a power of ten, the first that is not below `rough`.
double round_step(double rough) {
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * 0.999) return factor * power;
  }
  return 10 * power;
}

std::string printed(const char* format, int digits, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, digits, value);
  return buffer;
}

/// "12,000", "0.05", "5e-5": a number that is a multiple of `step`.
std::string number_text(double value, double step) {
  if (std::fabs(value) < step * 1e-6) return "0";
  const double size = std::fabs(value);
  const int power = static_cast<int>(std::floor(std::log10(size) + 1e-9));
  const int last = static_cast<int>(std::floor(std::log10(step) + 1e-9));
  if (size < 1e-3 || size >= 1e7) {
    const double mantissa = value / std::pow(10.0, power);
    return cat(printed("%.*f", std::max(power - last, 0), mantissa), "e", power);
  }
  std::string text = printed("%.*f", std::max(-last, 0), value);
  const size_t end = std::min(text.find('.'), text.size());
  const size_t begin = text[0] == '-' ? 1 : 0;
  if (end - begin > 3) {
    for (size_t at = end; at > begin + 3;) text.insert(at -= 3, ",");
  }
  return text;
}

/// Powers of ten, times each of the mantissas, within [low, high].
std::vector<double> multiples(double low, double high, std::initializer_list<double> mantissas,
                              int every) {
  std::vector<double> out;
  const int first = static_cast<int>(std::floor(std::log10(low)));
  for (int power = first; std::pow(10.0, power) <= high * 1.0001; ++power) {
    if (power % every != 0) continue;
    for (const double mantissa : mantissas) {
      const double value = mantissa * std::pow(10.0, power);
      if (value >= low * 0.9999 && value <= high * 1.0001) out.push_back(value);
    }
  }
  return out;
}

}  // namespace

PlotAxis PlotAxis::linear(double low, double high, int n_ticks, bool to_ticks, double least_step) {
  // Where nothing differs, and where numbers end that fp64 tells apart.
  const double least = std::max(std::max(std::fabs(low), std::fabs(high)) * 1e-9, 1e-30);
  if (high - low < least) {
    const double room = std::max(std::fabs(low) * 0.05, least);
    low -= room, high += room;
  }
  const double step = std::max(round_step((high - low) / n_ticks), least_step);
  double first = std::ceil(low / step - 1e-6), last = std::floor(high / step + 1e-6);
  PlotAxis axis{.low = low, .high = high};
  if (to_ticks) {
    first = std::floor(low / step + 1e-6), last = std::ceil(high / step - 1e-6);
    axis.low = first * step, axis.high = last * step;
  }
  for (double i = first; i <= last; ++i) {
    axis.ticks.push_back(i * step);
    axis.numbers.push_back(number_text(i * step, step));
  }
  return axis;
}

PlotAxis PlotAxis::of_logarithms(double low, double high, int n_ticks) {
  QE_CHECK(low > 0 && high >= low, "a logarithmic axis needs numbers above 0");
  const double room = std::max(std::pow(high / low, 0.03), 1.001);
  PlotAxis axis{.low = low / room, .high = high * room, .logarithmic = true};
  const auto few = [&](const std::vector<double>& ticks) {
    return ticks.size() >= 4 && ticks.size() <= static_cast<size_t>(n_ticks) + 3;
  };
  for (const std::initializer_list<double>& mantissas :
       {std::initializer_list<double>{1}, {1, 3}, {1, 2, 5}}) {
    axis.ticks = multiples(axis.low, axis.high, mantissas, 1);
    if (few(axis.ticks)) break;
  }
  for (int every = 2; axis.ticks.size() > 12; ++every) {
    axis.ticks = multiples(axis.low, axis.high, {1}, every);
  }
  if (axis.ticks.size() < 4) {
    const PlotAxis even = linear(axis.low, axis.high, n_ticks, false);
    axis.ticks = even.ticks;
    axis.numbers = even.numbers;
    return axis;
  }
  for (const double tick : axis.ticks) {
    axis.numbers.push_back(number_text(tick, std::pow(10.0, std::floor(std::log10(tick) + 1e-9))));
  }
  return axis;
}

double PlotAxis::place(double value) const {
  if (logarithmic) return std::log(value / low) / std::log(high / low);
  return (value - low) / (high - low);
}

}  // namespace qe
