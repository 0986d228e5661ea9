// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/memory/paged_table.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string_view>

#include "kernels/core/error.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

constexpr size_t kAlignment = 256;
// Chunks that keep the bus busy, but leave most of a table outside: below, copies are all start-up.
constexpr int64_t kMaxChunk = int64_t{32} << 20;
constexpr int64_t kMinChunk = int64_t{64} << 10;
constexpr int64_t kChunks = 8;

}  // namespace

// The two ways of a paged table, and for each chunk in flight the points where it has arrived, has
// been worked on, and is back.
struct PagedTable::Pager {
  explicit Pager(int device)
      : inward(cuda::create_stream(device)),
        outward(cuda::create_stream(device)),
        points{Points(device), Points(device), Points(device)} {}
  // The way back waits for the work, and is the last that touches a chunk.
  ~Pager() {
    try {
      cuda::synchronize(inward);
      cuda::synchronize(outward);
    } catch (const Error&) {  // the work's own failure was reported where it was waited for
    }
    cuda::destroy_stream(inward);
    cuda::destroy_stream(outward);
  }
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  struct Points {
    explicit Points(int device) : arrived(device), updated(device), returned(device) {}
    cuda::Event arrived, updated, returned;
  };
  void* inward;
  void* outward;
  Points points[kInFlight];
};

PagedSpace choose_paged_space(const char* asked, bool managed_works, size_t n_managed,
                              size_t n_bytes, size_t n_free) {
  if (asked != nullptr) {
    const std::string_view name = asked;
    QE_CHECK(name == "managed" || name == "pinned", "QE_PAGED is \"", asked,
             "\", expected managed or pinned");
    if (name == "pinned") return PagedSpace::kPinned;
    QE_CHECK(managed_works, "QE_PAGED=managed: host and GPU cannot share managed memory here");
    return PagedSpace::kManaged;
  }
  const bool fits = n_managed <= n_free && n_bytes <= n_free - n_managed;
  return managed_works && fits ? PagedSpace::kManaged : PagedSpace::kPinned;
}

PagedTable::PagedTable(const std::string& row, int64_t n_rows, std::vector<size_t> column_bytes,
                       bool paged, const PagingOptions& options, const Context& ctx, Memory& memory)
    : n_rows_(n_rows), column_bytes_(std::move(column_bytes)), offsets_(layout(n_rows)) {
  if (n_rows == 0) return;
  chunk_rows_ = n_rows;
  if (!paged) {
    table_ = static_cast<char*>(memory.allocate(row, offsets_.back()));
    return;
  }
  size_t row_bytes = 0;
  for (const size_t n : column_bytes_) row_bytes += n;
  // A power of two: columns of a chunk begin at borders of pages, where there is more than one
  // chunk of any size.
  const int64_t n_bytes = n_rows * static_cast<int64_t>(row_bytes);
  const int64_t chunk_bytes =
      options.chunk_bytes.value_or(std::clamp(n_bytes / kChunks, kMinChunk, kMaxChunk));
  const uint64_t fitting = std::max<uint64_t>(chunk_bytes / row_bytes, 1);
  chunk_rows_ = std::min<int64_t>(n_rows, static_cast<int64_t>(std::bit_floor(fitting)));
  if (ctx.device.kind == DeviceKind::kCpu) {
    table_ = static_cast<char*>(memory.allocate(row, offsets_.back(), MemoryKind::kPaged));
    return;
  }
  allocate(row, options, ctx, memory);
  if (!memory.planning()) pager_ = std::make_unique<Pager>(ctx.device.index);
}

PagedTable::~PagedTable() = default;

std::vector<size_t> PagedTable::layout(int64_t n) const {
  std::vector<size_t> offsets{0};
  for (const size_t bytes : column_bytes_) {
    const size_t end = offsets.back() + static_cast<size_t>(n) * bytes;
    offsets.push_back((end + kAlignment - 1) / kAlignment * kAlignment);
  }
  return offsets;
}

void PagedTable::allocate(const std::string& row, const PagingOptions& options, const Context& ctx,
                          Memory& memory) {
  const size_t n_bytes = offsets_.back();
  if (!memory.planning()) {
    const cuda::DeviceInfo info = cuda::device_info(ctx.device.index);
    const size_t n_free = options.managed_limit.value_or(info.free_bytes);
    space_ = options.space.value_or(choose_paged_space(std::getenv("QE_PAGED"),
                                                       info.concurrent_managed_access,
                                                       memory.managed_total(), n_bytes, n_free));
    if (space_ == PagedSpace::kPinned && ctx.log != nullptr) {
      ctx.log->info(
          cat(row, ": in pinned host memory (", n_bytes, " bytes, ", n_free, " free on the GPU)"));
    }
  }
  table_ = static_cast<char*>(memory.allocate_paged(
      row, n_bytes,
      space_ == PagedSpace::kManaged ? cuda::MemorySpace::kManaged : cuda::MemorySpace::kPinned));
  window_offsets_ = layout(chunk_rows_);
  const size_t n_windows = static_cast<size_t>(std::min(n_chunks(), kInFlight));
  windows_ =
      static_cast<char*>(memory.allocate(row + ", in flight", n_windows * window_offsets_.back()));
}

PagedTable::Window::Window(const PagedTable& table, int64_t chunk)
    : begin(chunk * table.chunk_rows_),
      n(std::min(table.chunk_rows_, table.n_rows_ - begin)),
      table_(&table),
      buffer_(table.windows_ == nullptr ? nullptr
                                        : table.windows_ + static_cast<size_t>(chunk % kInFlight) *
                                                               table.window_offsets_.back()) {}

void* PagedTable::Window::place(size_t column) const {
  return buffer_ == nullptr ? table_->at(column, begin) : buffer_ + table_->window_offsets_[column];
}

void* PagedTable::at(size_t column, int64_t begin) const {
  return table_ + offsets_[column] + static_cast<size_t>(begin) * column_bytes_[column];
}

// There on the inward stream, back on the outward one.
void PagedTable::move(Context& ctx, const Window& rows, bool to_device) const {
  Context way = ctx;
  way.stream = to_device ? pager_->inward : pager_->outward;
  for (size_t c = 0; c < column_bytes_.size(); ++c) {
    void* const home = at(c, rows.begin);
    void* const to = to_device ? rows.place(c) : home;
    const void* const from = to_device ? home : rows.place(c);
    const size_t n_bytes = static_cast<size_t>(rows.n) * column_bytes_[c];
    if (space_ == PagedSpace::kManaged) {
      copy_mapped(way, to, from, n_bytes);
    } else {
      copy_bytes(way, to, from, n_bytes);
    }
  }
}

void PagedTable::for_each_window(Context& ctx,
                                 const std::function<void(const Window&)>& update) const {
  if (pager_ == nullptr || ctx.planning) {
    for (int64_t chunk = 0; chunk < n_chunks(); ++chunk) update(Window(*this, chunk));
    return;
  }
  // A chunk sets out when the one that had its place is back, be it the last update's: so the first
  // ones travel while the backward pass still runs.
  const auto send = [&](int64_t chunk) {
    if (chunk >= n_chunks()) return;
    Pager::Points& points = pager_->points[chunk % kInFlight];
    points.returned.hold(pager_->inward);
    move(ctx, Window(*this, chunk), true);
    points.arrived.record(pager_->inward);
  };
  for (int64_t chunk = 0; chunk < kInFlight - 1; ++chunk) send(chunk);
  for (int64_t chunk = 0; chunk < n_chunks(); ++chunk) {
    send(chunk + kInFlight - 1);
    const Window rows(*this, chunk);
    Pager::Points& points = pager_->points[chunk % kInFlight];
    points.arrived.hold(ctx.stream);
    update(rows);
    points.updated.record(ctx.stream);
    points.updated.hold(pager_->outward);
    move(ctx, rows, false);
    points.returned.record(pager_->outward);
  }
}

void PagedTable::settle(Context& ctx) const {
  if (pager_ == nullptr) return;
  for (const Pager::Points& points : pager_->points) points.returned.hold(ctx.stream);
}

}  // namespace qe
