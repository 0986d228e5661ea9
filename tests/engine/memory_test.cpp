// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/memory/memory.h"

#include <doctest/doctest.h>

#include <cstring>

#include "engine/memory/planning.h"
#include "kernels/core/error.h"

namespace qe {

TEST_CASE("memory: planning counts exactly what running requests") {
  const auto build = [](Memory& memory) {
    memory.allocate("a", 1);
    memory.allocate("b", 4096, MemoryKind::kPaged);
    memory.allocate("a", 65);
    memory.allocate("empty", 0);
  };
  Memory planned(true);
  Memory run(false);
  build(planned);
  build(run);
  REQUIRE(planned.rows().size() == run.rows().size());
  for (size_t i = 0; i < run.rows().size(); ++i) {
    CHECK(planned.rows()[i].name == run.rows()[i].name);
    CHECK(planned.rows()[i].n_bytes == run.rows()[i].n_bytes);
  }
  CHECK(run.total() == 64 + 128 + 4096 + 64);
}

TEST_CASE("memory: pieces are zeroed, aligned and distinct") {
  Memory memory(false);
  char* previous = nullptr;
  for (int i = 0; i < 4; ++i) {
    char* piece = static_cast<char*>(memory.allocate("x", 100));
    CHECK(reinterpret_cast<uintptr_t>(piece) % 64 == 0);
    for (int j = 0; j < 100; ++j) REQUIRE(piece[j] == 0);
    std::memset(piece, 1, 100);
    CHECK(piece != previous);
    previous = piece;
  }
}

TEST_CASE("memory: an impossible request is an error that names the row") {
  Memory memory(false);
  CHECK_THROWS_WITH_AS(memory.allocate("everything", size_t{1} << 60),
                       doctest::Contains("everything"), Error);
}

TEST_CASE("planned_arena_bytes: the high-water mark of what runs") {
  Context ctx;
  const size_t n = planned_arena_bytes(ctx, [](Context& c) {
    CHECK(c.planning);
    void* first = c.arena->allocate(1000);
    { const Scratch second(*c.arena, 2000); }
    c.arena->release(first);
    const Scratch third(*c.arena, 500);
  });
  CHECK(n == 1024 + 2048);
}

}  // namespace qe
