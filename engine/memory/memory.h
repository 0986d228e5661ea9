// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Memory is planned, then owned. A Memory hands out named pieces that live as long as it does. A
// planning Memory only counts: the code that builds a model, its adapter and its optimizer runs
// unchanged over it, so plan and run cannot disagree.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qe {

enum class MemoryKind {
  kHost,   ///< ordinary host memory
  kPaged,  ///< pageable beyond the device's memory: unified memory on a GPU, host memory on the CPU
};

/// One line of the memory table: everything asked for under one name.
struct MemoryRow {
  std::string name;
  MemoryKind kind = MemoryKind::kHost;
  size_t n_bytes = 0;
};

class Memory {
 public:
  explicit Memory(bool planning) : planning_(planning) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  bool planning() const { return planning_; }

  /// n_bytes of zeroed, 64-byte aligned memory, accounted under `row` as its size rounded up to 64.
  /// While planning, an address that must not be dereferenced. Throws Error when the system has
  /// none left.
  void* allocate(const std::string& row, size_t n_bytes, MemoryKind kind = MemoryKind::kHost);
  template <class T>
  T* allocate_array(const std::string& row, int64_t n, MemoryKind kind = MemoryKind::kHost) {
    return static_cast<T*>(allocate(row, static_cast<size_t>(n) * sizeof(T), kind));
  }

  /// Bytes requested so far, one row per name, in order of first use.
  const std::vector<MemoryRow>& rows() const { return rows_; }
  size_t total() const;

 private:
  struct Free {
    void operator()(void* block) const;
  };
  bool planning_;
  uintptr_t next_counting_address_ = uintptr_t{1} << 46;  // far from a counting arena's addresses
  std::vector<MemoryRow> rows_;
  std::vector<std::unique_ptr<void, Free>> blocks_;
};

}  // namespace qe
