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
#include "kernels/core/error.h"

namespace qe {

/// On the CPU all of them are host memory.
enum class MemoryKind {
  kHost,    ///< ordinary host memory
  kDevice,  ///< where ops run: a GPU's own memory
  kPinned,  ///< host memory that a GPU copies from and to while the host goes on
  kPaged,   ///< visits the device in parts (engine/memory/paged_table.h)
};

/// One line of the memory table: everything asked for under one name.
struct MemoryRow {
  std::string name;
  MemoryKind kind = MemoryKind::kHost;
  size_t n_bytes = 0;
};

/// Of the rows that the device itself holds: on a GPU its own memory (of paged rows only what
/// passes through), on the CPU everything.
size_t device_bytes(const std::vector<MemoryRow>& rows, Device device);

/// The system has less memory than was asked for.
class OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& what, Device of, std::vector<MemoryRow> asked)
      : Error(what), device(of), rows(std::move(asked)) {}
  Device device;
  std::vector<MemoryRow> rows;  ///< what is asked for in all, as far as it is known
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

  /// Takes what the device holds of a plan's rows at once, for the pieces that will be asked for:
  /// on a GPU, whose memory comes in pages of 2 MiB, so that planned and taken bytes agree.
  /// Throws OutOfMemory with the plan.
  void reserve(const std::vector<MemoryRow>& plan);
  /// Notes memory of the device that something else takes: CUDA itself.
  void account(const std::string& row, size_t n_bytes);

  /// n_bytes of zeroed memory, aligned and accounted under `row` in units of 64 bytes (a GPU's own
  /// memory: 256). While planning, an address that must not be dereferenced. Throws OutOfMemory,
  /// with the rows so far.
  void* allocate(const std::string& row, size_t n_bytes, MemoryKind kind = MemoryKind::kDevice);
  template <class T>
  T* allocate_array(const std::string& row, int64_t n, MemoryKind kind = MemoryKind::kDevice) {
    return static_cast<T*>(allocate(row, static_cast<size_t>(n) * sizeof(T), kind));
  }

  /// The same of kind kPaged, in `space` of a GPU.
  void* allocate_paged(const std::string& row, size_t n_bytes, cuda::MemorySpace space);

  /// Bytes of unified memory.
  size_t managed_total() const { return managed_total_; }

  /// Bytes requested so far, one row per name, in order of first use.
  const std::vector<MemoryRow>& rows() const { return rows_; }
  size_t total() const;

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
  MemoryRow& row_of(const std::string& name, MemoryKind kind);
  void* allocate_in(const std::string& row, size_t n_bytes, MemoryKind kind,
                    cuda::MemorySpace space);
  void* host_block(size_t size);
  void* cuda_block(size_t size, cuda::MemorySpace space);
  void* device_piece(size_t size);

  bool planning_;
  Device device_;
  void* stream_ = nullptr;
  size_t managed_total_ = 0;
  uintptr_t next_counting_address_ = uintptr_t{1} << 46;  // far from a counting arena's addresses
  std::vector<MemoryRow> rows_;
  std::vector<std::unique_ptr<void, Free>> blocks_;
  std::vector<CudaBlock> cuda_blocks_;
  std::vector<Rest> rests_;
  size_t n_accounted_ = 0;  // device bytes that are not ours
};

}  // namespace qe
