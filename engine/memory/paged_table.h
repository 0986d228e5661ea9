// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A table (an optimizer's states) that may live in host memory and visits the GPU a chunk of rows
// at a time: while the device works on chunk i, chunks i + 1 and i + 2 are on their way to it and
// chunk i - 1 is on its way back, on streams of their own. On a GPU there are two kinds of paged
// memory, with the same results:
//
//   managed  unified memory that stays on the host, mapped for the GPU, which moves chunks by a
//            kernel: moving the pages themselves takes four times as long (H100: 18.4 ms instead of
//            4.6 for 226 MB there or back). Never more of it than the GPU has free: a GPU short of
//            memory for unified pages can hang.
//   pinned   page-locked host memory, with copies there and back. Where host and GPU may not touch
//            managed memory at the same time, and where the managed memory would be too much.
//
// QE_PAGED=managed or pinned in the environment decides instead. Either way the device has
// kInFlight buffers of a chunk, which are a row of the plan. On the CPU the table is where it is.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/memory/memory.h"

namespace qe {

enum class PagedSpace { kManaged, kPinned };

struct PagingOptions {
  /// Of a chunk, at most; but a row at least. Absent: an eighth of the table, 32 MiB at most.
  std::optional<int64_t> chunk_bytes;
  std::optional<PagedSpace> space;      ///< instead of what would be chosen
  std::optional<size_t> managed_limit;  ///< instead of what the GPU has free
};

/// The space for `n_bytes` more, when `n_managed` bytes are managed already: `asked` ("managed",
/// "pinned", null: not asked), else kManaged unless that does not work or would exceed n_free.
PagedSpace choose_paged_space(const char* asked, bool managed_works, size_t n_managed,
                              size_t n_bytes, size_t n_free);

class PagedTable {
 public:
  static constexpr int64_t kInFlight = 3;

  /// Rows of columns that have `column_bytes` bytes a row each, zero at first. Where not `paged` it
  /// is ordinary memory of the device, in one chunk. Memory rows: `row`, and on a GPU when paged
  /// "`row`, in flight". The memory outlives this.
  PagedTable(const std::string& row, int64_t n_rows, std::vector<size_t> column_bytes, bool paged,
             const PagingOptions& options, const Context& ctx, Memory& memory);
  ~PagedTable();
  PagedTable(const PagedTable&) = delete;
  PagedTable& operator=(const PagedTable&) = delete;

  /// Rows [begin, begin + n), in memory that the device can work on.
  class Window {
   public:
    int64_t begin = 0, n = 0;
    /// The rows' part of a column.
    template <class T>
    std::span<T> column(size_t c) const {
      const size_t n_bytes = static_cast<size_t>(n) * table_->column_bytes_[c];
      return {static_cast<T*>(place(c)), n_bytes / sizeof(T)};
    }

   private:
    friend class PagedTable;
    Window(const PagedTable& table, int64_t chunk);
    void* place(size_t column) const;
    const PagedTable* table_;
    char* buffer_;  // on the device; null: the rows are worked on in the table
  };
  /// Calls update(window) for all rows, in order. What it starts on the context's stream sees the
  /// rows as they are, and may change them.
  void for_each_window(Context& ctx, const std::function<void(const Window&)>& update) const;

  /// Row `begin` of a column where the table lives, for copies on the context's stream after
  /// settle().
  void* at(size_t column, int64_t begin) const;
  /// Holds the context's stream until all windows are back in the table.
  void settle(Context& ctx) const;

  /// Where a paged table of a GPU is.
  PagedSpace space() const { return space_; }
  int64_t n_chunks() const { return chunk_rows_ == 0 ? 0 : (n_rows_ - 1) / chunk_rows_ + 1; }

 private:
  struct Pager;
  /// Where columns of n rows begin; the last entry is their end.
  std::vector<size_t> layout(int64_t n) const;
  void allocate(const std::string& row, const PagingOptions& options, const Context& ctx,
                Memory& memory);
  void move(Context& ctx, const Window& rows, bool to_device) const;

  int64_t n_rows_;
  std::vector<size_t> column_bytes_;
  int64_t chunk_rows_ = 0;
  std::vector<size_t> offsets_;         // of columns in the table
  std::vector<size_t> window_offsets_;  // of columns in a window's buffer
  char* table_ = nullptr;
  char* windows_ = nullptr;  // on the device: of a GPU's paged table, kInFlight buffers
  PagedSpace space_ = PagedSpace::kManaged;
  std::unique_ptr<Pager> pager_;  // of a GPU's paged table
};

}  // namespace qe
