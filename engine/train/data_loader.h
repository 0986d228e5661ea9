// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The order of samples: which of them make up the micro-batches of an update. A pure function of
// seed, epoch and position, so a resumed run sees exactly what the uninterrupted one would.

#include <cstdint>
#include <vector>

#include "engine/train/mlm_collator.h"
#include "kernels/core/background.h"

namespace qe {

enum class SampleOrder {
  kShuffled,
  kSequential,  ///< as in the dataset
  kGrouped,     ///< shuffled, then sorted by length within groups: see grouped_order
};

struct LoaderOptions {
  int64_t batch_size = 8;                   ///< sequences per micro-batch
  int64_t gradient_accumulation_steps = 1;  ///< micro-batches per update
  SampleOrder order = SampleOrder::kShuffled;
  bool drop_last = false;  ///< no batch that is not full
  uint64_t seed = 42;
};

/// The permutation of [0, n) of an epoch: Fisher-Yates over Philox draws.
std::vector<uint32_t> shuffled_order(int64_t n, uint64_t seed, uint32_t epoch);

/// transformers' group_by_length (train_sampling_strategy): `shuffled` is cut into groups of
/// min(n / (4 update_size), 50) updates (at least one), each group is sorted by length, longest
/// first, and the longest sample of all takes the first place, so that a lack of memory shows at
/// once.
std::vector<uint32_t> grouped_order(const std::vector<uint32_t>& shuffled,
                                    const TokenDataset& dataset, int64_t update_size);

/// Trainer's arithmetic: an epoch has ceil(samples / batch_size) batches and ceil(batches /
/// accumulation) updates; the last batch and the last update of an epoch may be smaller. With
/// drop_last the samples left over by full batches are not used in that epoch; Error when there is
/// no full batch.
class DataLoader {
 public:
  DataLoader(const TokenDataset& dataset, MlmCollator collator, const LoaderOptions& options);

  int64_t batches_per_epoch() const { return n_batches_; }
  int64_t updates_per_epoch() const { return n_updates_; }

  /// Fills `micro_batches` (reused) with the batches of update `step` (0-based, counted over all
  /// epochs). Their capacities are left alone. Returns how many there are; further entries are
  /// stale.
  int64_t load_update(int64_t step, std::vector<PackedBatch>& micro_batches);
  /// Batch `index` of an epoch.
  void load_batch(uint32_t epoch, int64_t index, PackedBatch& batch);

 private:
  const TokenDataset& dataset_;
  MlmCollator collator_;
  LoaderOptions options_;
  int64_t n_batches_;
  int64_t n_updates_;
  std::vector<uint32_t> order_;
  int64_t order_epoch_ = -1;
};

/// The updates [first, end) of a run, made ahead on a thread of their own, so that who computes
/// need not wait for them. While it lives, the loader must not load anything else.
class UpdateStream {
 public:
  /// token_capacity: of every batch, and its label_capacity.
  UpdateStream(DataLoader& loader, int64_t first, int64_t end, int64_t token_capacity);

  /// Swaps the batches of the next update into `micro_batches`. Returns how many there are; further
  /// entries are stale.
  int64_t next(std::vector<PackedBatch>& micro_batches);
  /// Seconds that the last next() waited.
  double waited() const { return waited_; }

 private:
  struct Update {
    std::vector<PackedBatch> batches;
    int64_t n = 0;
  };
  Update update_;
  double waited_ = 0;
  Background<Update> ahead_;
};

}  // namespace qe
