// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/memory/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace qe {
namespace {

// The driver maps device memory in pages of 2 MiB: a weight of its own each would waste a page's
// rest. Where nothing was reserved, small pieces share blocks instead.
constexpr size_t kSharedBlock = size_t{16} << 20;
constexpr size_t kSmallPiece = size_t{4} << 20;
constexpr size_t kHostUnit = 64;
constexpr size_t kDeviceUnit = 256;

}  // namespace

void Memory::Free::operator()(void* block) const { std::free(block); }

Memory::~Memory() {
  for (const CudaBlock& block : cuda_blocks_) cuda::release(block.space, block.data);
}

MemoryRow& Memory::row_of(const std::string& name, MemoryKind kind) {
  auto found = std::find_if(rows_.begin(), rows_.end(),
                            [&](const MemoryRow& r) { return r.name == name && r.kind == kind; });
  if (found == rows_.end()) found = rows_.insert(rows_.end(), MemoryRow{name, kind, 0});
  return *found;
}

void Memory::account(const std::string& row, size_t n_bytes) {
  row_of(row, MemoryKind::kDevice).n_bytes += n_bytes;
  n_accounted_ += n_bytes;
}

void Memory::reserve(const std::vector<MemoryRow>& plan) {
  if (planning_ || device_.kind == DeviceKind::kCpu) return;
  const size_t n_bytes = device_bytes(plan, device_) - n_accounted_;
  try {
    void* block = cuda_block(n_bytes, cuda::MemorySpace::kDevice);
    rests_.push_back(Rest{static_cast<char*>(block), n_bytes});
  } catch (const Error& error) {
    throw OutOfMemory(error.what(), device_, plan);
  }
}

void* Memory::allocate(const std::string& row, size_t n_bytes, MemoryKind kind) {
  return allocate_in(row, n_bytes, kind,
                     kind == MemoryKind::kPinned  ? cuda::MemorySpace::kPinned
                     : kind == MemoryKind::kPaged ? cuda::MemorySpace::kManaged
                                                  : cuda::MemorySpace::kDevice);
}

void* Memory::allocate_paged(const std::string& row, size_t n_bytes, cuda::MemorySpace space) {
  return allocate_in(row, n_bytes, MemoryKind::kPaged, space);
}

void* Memory::allocate_in(const std::string& row, size_t n_bytes, MemoryKind kind,
                          cuda::MemorySpace space) {
  const bool on_cpu = device_.kind == DeviceKind::kCpu;
  if (on_cpu && kind != MemoryKind::kPaged) kind = MemoryKind::kHost;
  const size_t unit = kind == MemoryKind::kDevice ? kDeviceUnit : kHostUnit;
  const size_t size = std::max<size_t>((n_bytes + unit - 1) / unit, 1) * unit;
  row_of(row, kind).n_bytes += size;
  if (planning_) {
    const uintptr_t address = next_counting_address_;
    next_counting_address_ += size;
    return reinterpret_cast<void*>(address);
  }
  try {
    if (on_cpu || kind == MemoryKind::kHost) return host_block(size);
    if (kind == MemoryKind::kDevice) return device_piece(size);
    return cuda_block(size, space);
  } catch (const Error& error) {
    throw OutOfMemory(cat(error.what(), ", for ", row), device_, rows_);
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
  if (space == cuda::MemorySpace::kManaged) managed_total_ += size;
  if (space == cuda::MemorySpace::kDevice) {
    cuda::zero(block, size, stream_);
  } else {
    std::memset(block, 0, size);
  }
  return block;
}

void* Memory::device_piece(size_t size) {
  auto rest =
      std::find_if(rests_.begin(), rests_.end(), [&](const Rest& r) { return r.n_bytes >= size; });
  if (rest == rests_.end()) {
    if (size > kSmallPiece) return cuda_block(size, cuda::MemorySpace::kDevice);
    void* block = cuda_block(kSharedBlock, cuda::MemorySpace::kDevice);
    rest = rests_.insert(rests_.end(), Rest{static_cast<char*>(block), kSharedBlock});
  }
  char* const piece = rest->begin;
  rest->begin += size;
  rest->n_bytes -= size;
  return piece;
}

size_t Memory::total() const {
  size_t sum = 0;
  for (const MemoryRow& row : rows_) sum += row.n_bytes;
  return sum;
}

size_t device_bytes(const std::vector<MemoryRow>& rows, Device device) {
  size_t sum = 0;
  for (const MemoryRow& row : rows) {
    if (device.kind == DeviceKind::kCpu || row.kind == MemoryKind::kDevice) sum += row.n_bytes;
  }
  return sum;
}

}  // namespace qe
