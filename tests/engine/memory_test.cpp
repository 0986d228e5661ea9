// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/memory/memory.h"

#include <doctest/doctest.h>

#include <cstring>

#include "engine/memory/planning.h"
#include "kernels/core/error.h"
#include "tests/support/device.h"

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
  memory.allocate("a little", 64);
  CHECK_THROWS_WITH_AS(memory.allocate("everything", size_t{1} << 60),
                       doctest::Contains("everything"), OutOfMemory);
  try {
    memory.allocate("everything", size_t{1} << 60);
  } catch (const OutOfMemory& error) {
    REQUIRE(error.rows.size() == 2);
    CHECK(error.rows[0].name == "a little");
  }
}

DEVICE_TEST_CASE("memory: a plan that the GPU has no memory for is an error that carries it") {
  if (!test::on_gpu()) return;
  Context ctx;
  test::attach_device(ctx);
  Memory memory(ctx);
  const std::vector<MemoryRow> plan = {{"weights", MemoryKind::kDevice, size_t{1} << 30},
                                       {"activations", MemoryKind::kDevice, size_t{1} << 50},
                                       {"states", MemoryKind::kPaged, size_t{1} << 50}};
  try {
    memory.reserve(plan);
    FAIL("reserved a petabyte");
  } catch (const OutOfMemory& error) {
    CHECK(error.rows.size() == 3);
    CHECK(std::string(error.what()).find(" are free") != std::string::npos);
    CHECK(device_bytes(error.rows, ctx.device) == (size_t{1} << 30) + (size_t{1} << 50));
  }
}

DEVICE_TEST_CASE("memory: what was reserved is handed out to the last byte, piece by piece") {
  Context ctx;
  test::attach_device(ctx);
  const auto take = [](Memory& memory) {
    for (const size_t n_bytes : {size_t{1}, size_t{5} << 20, size_t{300}, size_t{20} << 20}) {
      memory.allocate("pieces", n_bytes);
    }
  };
  Context planning = ctx;
  planning.planning = true;
  Memory planned(planning);
  take(planned);
  Memory memory(ctx);
  const size_t before = cuda::allocated_bytes(ctx.device.index);
  memory.reserve(planned.rows());
  const size_t reserved = cuda::allocated_bytes(ctx.device.index);
  take(memory);
  CHECK(cuda::allocated_bytes(ctx.device.index) == reserved);
  CHECK((reserved > before) == test::on_gpu());
  CHECK(memory.total() == planned.total());
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
