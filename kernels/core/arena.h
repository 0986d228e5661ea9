// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The tensor arena: one slab, planned, then owned.
//
// An Arena hands out 64-byte aligned pieces of one slab by deterministic first fit and takes them
// back in any order. The same sequence of calls gives the same addresses, so a step replayed
// for the same shapes touches the same memory, and a counting arena (no slab) that saw the sequence
// once knows the exact size the slab needs: its high-water mark. Training and inference run their
// very code over a counting arena first (Context::planning), then allocate the slab once.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qe {

class Arena {
 public:
  static constexpr size_t kAlignment = 64;

  /// A counting arena: allocations get distinct addresses that must never be dereferenced.
  Arena() = default;
  /// Hands out pieces of [slab, slab + n_bytes). `slab` is kAlignment-aligned and outlives the
  /// arena.
  Arena(void* slab, size_t n_bytes);

  /// n_bytes (0 is allowed) of uninitialized memory, kAlignment-aligned. Throws Error when the slab
  /// has no hole of that size: the plan did not cover what runs now.
  void* allocate(size_t n_bytes);
  /// Gives back what allocate returned. Not null.
  void release(void* piece);
  /// Releases everything that is still held.
  void reset();

  bool counting() const { return counting_; }
  size_t high_water() const { return high_water_; }  ///< bytes; of all the time since construction
  size_t in_use() const { return in_use_; }          ///< bytes, after rounding up to kAlignment

 private:
  struct Piece {
    size_t begin;
    size_t end;
  };
  bool counting_ = true;
  uintptr_t base_ = 0;
  size_t capacity_ = 0;
  std::vector<Piece> held_;  // sorted by begin
  size_t high_water_ = 0;
  size_t in_use_ = 0;
};

/// Scratch of one op or one scope: released when it ends.
class Scratch {
 public:
  Scratch(Arena& arena, size_t n_bytes) : arena_(arena), data_(arena.allocate(n_bytes)) {}
  ~Scratch() { arena_.release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }
  float* f32() const { return static_cast<float*>(data_); }

 private:
  Arena& arena_;
  void* data_;
};

}  // namespace qe
