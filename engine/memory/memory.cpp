// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/memory/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/core/error.h"

namespace qe {
namespace {

// The driver maps device memory in pages of 2 MiB: a weight of its own each would waste a page's
// rest. Small pieces share blocks instead.
constexpr size_t kSharedBlock = size_t{16} << 20;
constexpr size_t kSmallPiece = size_t{4} << 20;

}  // namespace

void Memory::Free::operator()(void* block) const { std::free(block); }

Memory::~Memory() {
  for (const CudaBlock& block : cuda_blocks_) cuda::release(block.space, block.data);
}

void* Memory::allocate(const std::string& row, size_t n_bytes, MemoryKind kind) {
  constexpr size_t kAlignment = 64;
  const size_t size = std::max<size_t>((n_bytes + kAlignment - 1) / kAlignment, 1) * kAlignment;
  const bool on_cpu = device_.kind == DeviceKind::kCpu;
  if (on_cpu && kind != MemoryKind::kPaged) kind = MemoryKind::kHost;
  auto found = std::find_if(rows_.begin(), rows_.end(),
                            [&](const MemoryRow& r) { return r.name == row && r.kind == kind; });
  if (found == rows_.end()) found = rows_.insert(rows_.end(), MemoryRow{row, kind, 0});
  found->n_bytes += size;
  if (planning_) {
    const uintptr_t address = next_counting_address_;
    next_counting_address_ += size;
    return reinterpret_cast<void*>(address);
  }
  try {
    if (on_cpu || kind == MemoryKind::kHost) return host_block(size);
    if (kind == MemoryKind::kDevice) return device_piece(size);
    return cuda_block(size, kind == MemoryKind::kPinned ? cuda::MemorySpace::kPinned
                                                        : cuda::MemorySpace::kManaged);
  } catch (const Error& error) {
    std::string table;
    for (const MemoryRow& r : rows_) table += cat("; ", r.name, " ", r.n_bytes);
    fail(error.what(), ", for ", row, table);
  }
}

void* Memory::host_block(size_t size) {
  void* block = std::aligned_alloc(64, size);
  QE_CHECK(block != nullptr, "out of memory: ", size, " bytes");
  blocks_.emplace_back(block);
  std::memset(block, 0, size);
  return block;
}

void* Memory::cuda_block(size_t size, cuda::MemorySpace space) {
  void* block = cuda::allocate(device_.index, space, size);
  cuda_blocks_.push_back({block, space});
  if (space == cuda::MemorySpace::kDevice) {
    cuda::zero(block, size, stream_);
  } else {
    std::memset(block, 0, size);
  }
  return block;
}

void* Memory::device_piece(size_t size) {
  if (size > kSmallPiece) return cuda_block(size, cuda::MemorySpace::kDevice);
  constexpr size_t kStart = 256;  // where pieces begin
  const size_t taken = (size + kStart - 1) / kStart * kStart;
  auto rest =
      std::find_if(rests_.begin(), rests_.end(), [&](const Rest& r) { return r.n_bytes >= taken; });
  if (rest == rests_.end()) {
    void* block = cuda_block(kSharedBlock, cuda::MemorySpace::kDevice);
    rest = rests_.insert(rests_.end(), Rest{static_cast<char*>(block), kSharedBlock});
  }
  char* const piece = rest->begin;
  rest->begin += taken;
  rest->n_bytes -= taken;
  return piece;
}

size_t Memory::total() const {
  size_t sum = 0;
  for (const MemoryRow& row : rows_) sum += row.n_bytes;
  return sum;
}

size_t Memory::device_total() const {
  size_t sum = 0;
  for (const MemoryRow& row : rows_) {
    if (row.kind == MemoryKind::kDevice) sum += row.n_bytes;
  }
  return sum;
}

}  // namespace qe
