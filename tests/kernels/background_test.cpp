// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/background.h"

#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <stdexcept>

namespace qe {
namespace {

TEST_CASE("background: all items, in order, in memory that is used again") {
  Background<std::vector<int>> background(3, [](const auto& give) {
    std::vector<int> item;
    for (int i = 0; i < 1000; ++i) {
      item.resize(100);
      item[0] = i;
      if (!give(item)) return;
    }
  });
  std::vector<int> item;
  std::set<const int*> places;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(background.next(item));
    REQUIRE(item[0] == i);
    places.insert(item.data());
  }
  CHECK_FALSE(background.next(item));
  CHECK_FALSE(background.next(item));
  CHECK(places.size() <= 5);  // three ready, one made, one used
}

TEST_CASE("background: an exception comes after the items before it") {
  Background<int> background(2, [](const auto& give) {
    for (int i = 0; i < 5; ++i) {
      int item = i;
      give(item);
    }
    throw std::runtime_error("no more");
  });
  int item = -1;
  for (int i = 0; i < 5; ++i) {
    REQUIRE(background.next(item));
    CHECK(item == i);
  }
  CHECK_THROWS_WITH(background.next(item), "no more");
}

TEST_CASE("background: ends when nobody wants more, at most its capacity ahead") {
  std::atomic<int> made{0};
  std::atomic<bool> refused{false};
  {
    Background<int> background(4, [&](const auto& give) {
      int item = 0;
      while (give(item)) ++made;
      refused = true;
    });
    int item;
    for (int i = 0; i < 10; ++i) REQUIRE(background.next(item));
  }
  CHECK(refused);
  CHECK(made >= 10);
  CHECK(made <= 14);
}

}  // namespace
}  // namespace qe
