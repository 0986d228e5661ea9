// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Batches on their way to the device: fixed buffers there, and pinned ones that copies start from.

#include <memory>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/packed_batch.h"

namespace qe {

/// The largest batch that will come.
struct BatchCapacity {
  int64_t tokens = 0;
  int64_t sequences = 0;
  int64_t labels = 0;
};

class BatchBuffer {
 public:
  /// n_batches: how many batches the host may be ahead of the device without waiting. On the CPU
  /// nothing is allocated. Memory rows: "batch", "batch (pinned)".
  BatchBuffer(const BatchCapacity& capacity, int n_batches, const Context& ctx, Memory& memory);
  ~BatchBuffer();

  /// The batch where ops can read it, until the next bind (in stream order). On the CPU: itself. On
  /// a GPU this starts one copy; the batch may change as soon as this returns. Throws Error when
  /// the batch is larger than the capacity.
  BatchView bind(const Context& ctx, const PackedBatch& batch);

 private:
  struct Slot {
    char* pinned = nullptr;
    std::unique_ptr<cuda::Event> copied;
  };
  BatchCapacity capacity_;
  size_t n_bytes_ = 0;
  char* device_ = nullptr;
  std::vector<Slot> slots_;
  size_t next_ = 0;
};

}  // namespace qe
