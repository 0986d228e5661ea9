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

#include "kernels/core/context.h"
#include "kernels/core/cuda.h"

namespace qe {

/// On the CPU all of them are host memory.
enum class MemoryKind {
  kHost,    ///< ordinary host memory
  kDevice,  ///< where ops run: a GPU's own memory
  kPinned,  ///< host memory that a GPU copies from and to while the host goes on
  kPaged,   ///< may leave the device: unified memory that prefers the host
};

/// One line of the memory table: everything asked for under one name.
struct MemoryRow {
  std::string name;
  MemoryKind kind = MemoryKind::kHost;
  size_t n_bytes = 0;
};

class Memory {
 public:
  /// Of the CPU.
  explicit Memory(bool planning) : planning_(planning) {}
  /// Of the context's device. What is zeroed is zeroed in its stream, which outlives this.
  explicit Memory(const Context& ctx)
      : planning_(ctx.planning), device_(ctx.device), stream_(ctx.stream) {}
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  bool planning() const { return planning_; }

  /// n_bytes of zeroed, 64-byte aligned memory, accounted under `row` as its size rounded up to 64.
  /// While planning, an address that must not be dereferenced. Throws Error, with the table so far,
  /// when the system has none left.
  void* allocate(const std::string& row, size_t n_bytes, MemoryKind kind = MemoryKind::kDevice);
  template <class T>
  T* allocate_array(const std::string& row, int64_t n, MemoryKind kind = MemoryKind::kDevice) {
    return static_cast<T*>(allocate(row, static_cast<size_t>(n) * sizeof(T), kind));
  }

  /// Bytes requested so far, one row per name, in order of first use.
  const std::vector<MemoryRow>& rows() const { return rows_; }
  size_t total() const;
  /// Of the rows that the device holds (paged ones not).
  size_t device_total() const;

 private:
  struct Free {
    void operator()(void* block) const;
  };
  struct CudaBlock {
    void* data;
    cuda::MemorySpace space;
  };
  // Part of a block of device memory that small pieces are cut from.
  struct Rest {
    char* begin;
    size_t n_bytes;
  };
  void* host_block(size_t size);
  void* cuda_block(size_t size, cuda::MemorySpace space);
  void* device_piece(size_t size);

  bool planning_;
  Device device_;
  void* stream_ = nullptr;
  uintptr_t next_counting_address_ = uintptr_t{1} << 46;  // far from a counting arena's addresses
  std::vector<MemoryRow> rows_;
  std::vector<std::unique_ptr<void, Free>> blocks_;
  std::vector<CudaBlock> cuda_blocks_;
  std::vector<Rest> rests_;
};

}  // namespace qe
