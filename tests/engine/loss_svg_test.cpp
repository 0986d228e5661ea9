// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/loss_svg.h"

#include <doctest/doctest.h>

#include <cmath>

namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("loss_svg draws both lines inside the frame") {
  const std::string svg =
      qe::loss_svg("tiny & <small>", {{10, 3.0}, {20, 2.0}, {30, NAN}}, {{0, 3.5}, {20, 2.5}});
  CHECK(svg.rfind("<svg ", 0) == 0);
  CHECK(svg.substr(svg.size() - 7) == "</svg>\n");
  CHECK(count(svg, "<polyline") == 2);
  CHECK(count(svg, "<circle") == 2);  // evaluations only
  CHECK(svg.find("tiny &amp; &lt;small>") != std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
  // Axes: losses 2 to 3.5 in ticks of 0.5, updates 0 to 20; the extremes sit on the frame.
  CHECK(svg.find(">2.0</text>") != std::string::npos);
  CHECK(svg.find(">3.5</text>") != std::string::npos);
  CHECK(svg.find("64.0,44.0 736.0,273.3") != std::string::npos);
}

TEST_CASE("loss_svg with nothing, one point, equal losses") {
  CHECK(count(qe::loss_svg("empty", {}, {}), "<polyline") == 0);
  const std::string one = qe::loss_svg("one", {{5, 2.0}}, {});
  CHECK(count(one, "<circle") == 1);
  CHECK(qe::loss_svg("flat", {{1, 2.0}, {2, 2.0}}, {}).find("nan") == std::string::npos);
}
