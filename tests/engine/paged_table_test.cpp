// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/memory/paged_table.h"

#include <doctest/doctest.h>

#include <numeric>

#include "kernels/core/error.h"
#include "kernels/ops/transfer.h"
#include "tests/support/op_context.h"

namespace qe {
namespace {

using Window = PagedTable::Window;

Context device_context() {
  Context ctx;
  test::attach_device(ctx);
  return ctx;
}

std::vector<MemoryRow> rows_of(int64_t n_rows, bool paged, const PagingOptions& options,
                               bool planning) {
  Context ctx = device_context();
  ctx.planning = planning;
  Memory memory(ctx);
  const PagedTable table("states", n_rows, {4, 1}, paged, options, ctx, memory);
  return memory.rows();
}

}  // namespace

TEST_CASE("paged table: the space is managed memory while it works and is no more than is free") {
  const auto choose = [](const char* asked, bool works, size_t n_managed, size_t n_bytes) {
    return choose_paged_space(asked, works, n_managed, n_bytes, 1000);
  };
  CHECK(choose(nullptr, true, 0, 1000) == PagedSpace::kManaged);
  CHECK(choose(nullptr, true, 0, 1001) == PagedSpace::kPinned);
  CHECK(choose(nullptr, true, 400, 600) == PagedSpace::kManaged);
  CHECK(choose(nullptr, true, 400, 601) == PagedSpace::kPinned);
  CHECK(choose(nullptr, true, 1001, 1) == PagedSpace::kPinned);
  CHECK(choose(nullptr, true, 1, ~size_t{0}) == PagedSpace::kPinned);
  CHECK(choose(nullptr, false, 0, 1) == PagedSpace::kPinned);
  CHECK(choose("pinned", true, 0, 1) == PagedSpace::kPinned);
  CHECK(choose("managed", true, 0, 2000) == PagedSpace::kManaged);
  CHECK_THROWS_WITH_AS(choose("managed", false, 0, 1), doctest::Contains("QE_PAGED=managed"),
                       Error);
  CHECK_THROWS_WITH_AS(choose("", true, 0, 1), "QE_PAGED is \"\", expected managed or pinned",
                       Error);
}

DEVICE_TEST_CASE("paged table: windows are all rows in order, and what they leave stays") {
  for (const PagedSpace space : {PagedSpace::kManaged, PagedSpace::kPinned}) {
    for (const auto& [n_rows, chunk_bytes, n_chunks] : {std::tuple{1, 1, 1},
                                                        {2, 9, 2},
                                                        {64, 64 * 9, 1},
                                                        {65, 64 * 9, 2},
                                                        {1000, 130 * 9, 8},
                                                        {1003, 31 * 9, 63}}) {
      CAPTURE(n_rows);
      Context ctx = device_context();
      Memory memory(ctx);
      const PagedTable table("states", n_rows, {8, 1}, true,
                             {.chunk_bytes = chunk_bytes, .space = space}, ctx, memory);
      CHECK(table.n_chunks() == n_chunks);
      if (test::on_gpu()) CHECK(table.space() == space);
      // Each pass adds to every value of the first column through memory of the device.
      std::vector<int64_t> numbers(static_cast<size_t>(n_rows)), seen(numbers);
      std::iota(numbers.begin(), numbers.end(), 7);
      copy_bytes(ctx, table.at(0, 0), numbers.data(), numbers.size() * 8);
      synchronize(ctx);
      for (int pass = 0; pass < 3; ++pass) {
        int64_t next = 0;
        table.for_each_window(ctx, [&](const Window& window) {
          CHECK(window.begin == next);
          next += window.n;
          const std::span<int64_t> first = window.column<int64_t>(0);
          const std::span<uint8_t> second = window.column<uint8_t>(1);
          REQUIRE(first.size() == static_cast<size_t>(window.n));
          REQUIRE(second.size() == first.size());
          copy_bytes(ctx, &seen[window.begin], first.data(), first.size_bytes());
          synchronize(ctx);
          for (int64_t i = 0; i < window.n; ++i) seen[window.begin + i] += 1000;
          copy_bytes(ctx, first.data(), &seen[window.begin], first.size_bytes());
          const std::vector<uint8_t> bytes(second.size(), static_cast<uint8_t>(pass + 1));
          copy_bytes(ctx, second.data(), bytes.data(), bytes.size());
          synchronize(ctx);
        });
        CHECK(next == n_rows);
      }
      table.settle(ctx);
      std::vector<uint8_t> bytes(numbers.size());
      copy_bytes(ctx, seen.data(), table.at(0, 0), seen.size() * 8);
      copy_bytes(ctx, bytes.data(), table.at(1, 0), bytes.size());
      synchronize(ctx);
      for (size_t i = 0; i < seen.size(); ++i) {
        REQUIRE(seen[i] == numbers[i] + 3000);
        REQUIRE(bytes[i] == 3);
      }
    }
  }
}

DEVICE_TEST_CASE("paged table: planned rows are the requested ones, in either space") {
  for (const bool paged : {false, true}) {
    for (const auto& [n_rows, chunk_bytes] :
         {std::pair{0, 5}, {1, 5}, {100, 1000}, {100, 160}, {1000, 160}}) {
      const std::vector<MemoryRow> planned =
          rows_of(n_rows, paged, {.chunk_bytes = chunk_bytes}, true);
      for (const PagedSpace space : {PagedSpace::kManaged, PagedSpace::kPinned}) {
        const std::vector<MemoryRow> found =
            rows_of(n_rows, paged, {.chunk_bytes = chunk_bytes, .space = space}, false);
        REQUIRE(found.size() == planned.size());
        for (size_t i = 0; i < found.size(); ++i) {
          CHECK(found[i].name == planned[i].name);
          CHECK(found[i].kind == planned[i].kind);
          CHECK(found[i].n_bytes == planned[i].n_bytes);
        }
        const size_t n_expected = n_rows == 0 ? 0 : paged && test::on_gpu() ? 2 : 1;
        CHECK(found.size() == n_expected);
      }
    }
  }
}

DEVICE_TEST_CASE("paged table: more than the limit of managed memory is pinned, and says so") {
  if (!test::on_gpu()) return;
  Context ctx = device_context();
  std::vector<std::string> lines;
  const Log log([&](LogLevel, const std::string& line) { lines.push_back(line); });
  ctx.log = &log;
  Memory memory(ctx);
  // Whatever QE_PAGED says of other tests, here the limit decides.
  const char* const asked = std::getenv("QE_PAGED");
  if (asked != nullptr) return;
  const bool works = cuda::device_info(ctx.device.index).concurrent_managed_access;
  const PagingOptions options{.managed_limit = 4096};
  const PagedTable a("a", 700, {4}, true, options, ctx, memory);
  CHECK((a.space() == PagedSpace::kManaged) == works);
  const PagedTable b("b", 700, {4}, true, options, ctx, memory);
  CHECK(b.space() == PagedSpace::kPinned);
  REQUIRE(lines.size() == (works ? 1 : 2));
  CHECK(lines.back() == "b: in pinned host memory (2816 bytes, 4096 free on the GPU)");
}

}  // namespace qe
