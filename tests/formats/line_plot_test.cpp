// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/line_plot.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

namespace qe {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

using Numbers = std::vector<std::string>;

}  // namespace

TEST_CASE("line_plot: ticks are round and written short") {
  CHECK(PlotAxis::linear(2.03, 3.41, 6, true).numbers == Numbers{"2.0", "2.5", "3.0", "3.5"});
  CHECK(PlotAxis::linear(0, 300, 8, false).numbers ==
        Numbers{"0", "50", "100", "150", "200", "250", "300"});
  CHECK(PlotAxis::linear(0, 23456, 5, false).numbers ==
        Numbers{"0", "5,000", "10,000", "15,000", "20,000"});
  CHECK(PlotAxis::linear(0, 5e-5, 6, true).numbers ==
        Numbers{"0", "1e-5", "2e-5", "3e-5", "4e-5", "5e-5"});
  CHECK(PlotAxis::linear(-0.3, 0.2, 5, true).numbers ==
        Numbers{"-0.3", "-0.2", "-0.1", "0", "0.1", "0.2"});
  CHECK(PlotAxis::linear(1e9, 3e9, 4, true).numbers ==
        Numbers{"1.0e9", "1.5e9", "2.0e9", "2.5e9", "3.0e9"});
  const PlotAxis flat = PlotAxis::linear(2, 2, 6, true);
  CHECK(flat.low < 2);
  CHECK(flat.high > 2);
  CHECK(PlotAxis::linear(0, 0, 6, true).ticks.size() >= 2);
}

TEST_CASE("line_plot: logarithmic ticks, over few and many powers of ten") {
  CHECK(PlotAxis::of_logarithms(0.002, 30, 6).numbers == Numbers{"0.01", "0.1", "1", "10"});
  CHECK(PlotAxis::of_logarithms(2, 90, 6).numbers == Numbers{"3", "10", "30", "100"});
  CHECK(PlotAxis::of_logarithms(2.2, 2.9, 6).numbers == Numbers{"2.2", "2.4", "2.6", "2.8"});
  const PlotAxis wide = PlotAxis::of_logarithms(1e-30, 1e30, 6);
  CHECK(wide.ticks.size() >= 4);
  CHECK(wide.ticks.size() <= 12);
  const PlotAxis axis = PlotAxis::of_logarithms(1, 100, 6);
  CHECK(axis.place(10) == doctest::Approx(0.5));
  CHECK(PlotAxis::of_logarithms(3, 3, 6).place(3) == doctest::Approx(0.5));
}

TEST_CASE("line_plot: an axis holds what it shows, its ticks in order") {
  for (double low = -4; low < 5000; low = low * 1.7 + 3.1) {
    for (double span = 1e-7; span < 1e9; span *= 7.7) {
      CAPTURE(low);
      CAPTURE(span);
      for (const bool to_ticks : {false, true}) {
        const PlotAxis axis = PlotAxis::linear(low, low + span, 6, to_ticks);
        CHECK(axis.low <= low + span * 1e-5);
        CHECK(axis.high >= (low + span) - span * 1e-5);
        CHECK(axis.ticks.size() >= 2);
        CHECK(axis.ticks.size() <= 14);
        CHECK(std::is_sorted(axis.ticks.begin(), axis.ticks.end()));
        CHECK(std::adjacent_find(axis.numbers.begin(), axis.numbers.end()) == axis.numbers.end());
      }
      if (low <= 0) continue;
      const PlotAxis log = PlotAxis::of_logarithms(low, low + span, 6);
      CHECK(log.place(low) > 0);
      CHECK(log.place(low + span) < 1);
      CHECK(log.ticks.size() >= 2);
      CHECK(std::adjacent_find(log.numbers.begin(), log.numbers.end()) == log.numbers.end());
    }
  }
}

TEST_CASE("line_plot: smoothing by hand") {
  const auto means = smoothed({{1, 4}, {2, NAN}, {3, 1}, {4, 2}}, 0.5);
  CHECK(means[0].y == 4.0);
  CHECK(std::isnan(means[1].y));
  CHECK(means[2].y == doctest::Approx((0.25 * 4 + 0.5 * 1) / 0.75));
  CHECK(means[3].y == doctest::Approx((0.125 * 4 + 0.25 * 1 + 0.5 * 2) / 0.875));
  CHECK(smoothed({{1, 4}, {2, 7}}, 0.0)[1].y == 7.0);
}

TEST_CASE("line_plot: lines, dots, names, and what text must not contain") {
  const std::string svg = line_plot_svg(
      {{.name = "a & <b>", .points = {{10, 3.0}, {20, 2.0}}, .colour = 0},
       {.name = "\xff\n", .points = {{0, 3.5}, {20, 2.5}}, .colour = 1, .dotted = true}},
      {.title = "t", .x = "update", .y = "loss"});
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<polyline") == 2);
  CHECK(count(svg, "<circle") == 3);  // two points, and the legend's
  CHECK(count(svg, "a &amp; &lt;b&gt;</text>") == 1);
  CHECK(count(svg, "\xef\xbf\xbd </text>") == 1);
  CHECK(count(svg, ">2.0</text>") == 1);
  CHECK(count(svg, ">3.5</text>") == 1);
  CHECK(count(svg, "not finite") == 0);
}

TEST_CASE("line_plot: gaps, single points, nothing, and numbers that a logarithm lacks") {
  const PlotLine gap{.name = "g", .points = {{1, 2}, {2, 3}, {3, NAN}, {4, 1}, {5, INFINITY}}};
  const std::string svg = line_plot_svg({gap}, {.title = "gaps"});
  CHECK(count(svg, "<polyline") == 1);  // of 1 and 2
  CHECK(count(svg, "<circle") == 1);    // of 4
  CHECK(count(svg, "l6 6m0 -6l-6 6") == 2);
  CHECK(count(svg, "not finite") == 1);
  CHECK(count(svg, "nan") == 0);
  CHECK(count(svg, "inf") == 0);
  for (const bool logarithmic : {false, true}) {
    CAPTURE(logarithmic);
    const auto plot = [&](const std::vector<PlotLine>& lines) {
      const std::string drawn = line_plot_svg(lines, {.logarithmic = logarithmic});
      CHECK(count(drawn, "nan") == 0);
      CHECK(count(drawn, "inf") == 0);
      return drawn;
    };
    plot({});
    plot({{.name = "none"}});
    plot({{.name = "undefined", .points = {{1, NAN}}}});
    CHECK(count(plot({{.name = "one", .points = {{5, 2.0}}}}), "<circle") == 1);
    CHECK(count(plot({{.name = "updates", .points = {{1, 2.0}, {2, 3}}}}), ">0.5</text>") == 0);
    CHECK(count(plot({{.name = "epochs", .points = {{0.5, 2.0}, {2, 3}}}}), ">0.5</text>") == 1);
    CHECK(count(plot({{.name = "flat", .points = {{1, 2}, {2, 2}}}}), "<polyline") == 1);
    CHECK(count(plot({{.name = "sign", .points = {{1, -2}, {2, 0}, {3, 4}}}}), "l6 6m0 -6l-6 6") ==
          (logarithmic ? 2 : 0));
  }
}

TEST_CASE("line_plot: a million points become what can be seen, with their extremes") {
  PlotLine line{.name = "long"};
  for (int i = 0; i < 1000000; ++i) line.points.push_back({double(i), 2.0 + std::sin(i * 0.1)});
  line.points[500000].y = 9.75;
  const std::string svg = line_plot_svg({line}, {.title = "long"});
  CHECK(svg.size() < 100000);
  // The highest point: 10 is the highest tick, so it is at 0.975 of an axis from 0 or 1.
  CHECK(count(svg, ">10</text>") == 1);
  CHECK((count(svg, ",71.0 ") == 1 || count(svg, ",88.0 ") == 1 || count(svg, ",87.0 ") == 1));
}

}  // namespace qe
