// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/arena.h"

#include <doctest/doctest.h>

#include <vector>

#include "kernels/core/error.h"
#include "tests/support/op_context.h"

namespace qe {
namespace {

uintptr_t address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

}  // namespace

TEST_CASE("arena: pieces are aligned, apart, and first fit fills holes") {
  const test::Slab slab(1024);
  Arena arena(slab.data(), 1024);
  void* a = arena.allocate(1);
  void* b = arena.allocate(65);
  void* c = arena.allocate(64);
  CHECK(a == slab.data());
  CHECK(address(b) == address(a) + 64);
  CHECK(address(c) == address(b) + 128);
  CHECK(arena.in_use() == 256);
  arena.release(b);
  CHECK(arena.in_use() == 128);
  CHECK(arena.allocate(200) == static_cast<char*>(slab.data()) + 256);  // does not fit the hole
  CHECK(arena.allocate(128) == b);
  CHECK(arena.high_water() == 512);
  arena.reset();
  CHECK(arena.in_use() == 0);
  CHECK(arena.high_water() == 512);
  CHECK(arena.allocate(64) == a);
}

TEST_CASE("arena: nothing has an address of its own, too") {
  Arena arena;
  void* a = arena.allocate(0);
  void* b = arena.allocate(0);
  CHECK(a != nullptr);
  CHECK(a != b);
}

TEST_CASE("arena: a counting arena predicts the slab and the offsets") {
  const auto sequence = [](Arena& arena) {
    std::vector<void*> held, seen;
    test::Random random(31);
    for (int i = 0; i < 500; ++i) {
      if (held.size() > 5 && random.next() % 2 == 0) {
        const size_t which = random.next() % held.size();
        arena.release(held[which]);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      } else {
        held.push_back(arena.allocate(random.next() % 1000));
        seen.push_back(held.back());
      }
    }
    return seen;
  };
  Arena counting;
  CHECK(counting.counting());
  const std::vector<void*> planned = sequence(counting);
  const test::Slab slab(counting.high_water());
  Arena arena(slab.data(), counting.high_water());
  const std::vector<void*> real = sequence(arena);
  REQUIRE(planned.size() == real.size());
  for (size_t i = 0; i < real.size(); ++i) {
    CHECK(address(real[i]) - address(real[0]) == address(planned[i]) - address(planned[0]));
  }
  CHECK(arena.high_water() == counting.high_water());
  CHECK_THROWS_AS(Arena(slab.data(), counting.high_water() - 64).allocate(counting.high_water()),
                  Error);
}

TEST_CASE("arena: scratch is given back when its scope ends") {
  Arena arena;
  {
    const Scratch outer(arena, 100);
    const Scratch inner(arena, 100);
    CHECK(arena.in_use() == 256);
    CHECK(outer.data() != inner.data());
  }
  CHECK(arena.in_use() == 0);
  CHECK(arena.high_water() == 256);
}

TEST_CASE("arena: a misaligned slab is refused") {
  const test::Slab slab(256);
  CHECK_THROWS_AS(Arena(static_cast<char*>(slab.data()) + 4, 128), Error);
}

}  // namespace qe
