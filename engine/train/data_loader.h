// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The order of samples: which of them make up the micro-batches of an update. A pure function of
// seed, epoch and position, so a resumed run sees exactly what the uninterrupted one would.

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/train/epoch_plan.h"
#include "engine/train/mask_rate.h"
#include "engine/train/mlm_collator.h"
#include "kernels/core/background.h"

namespace qe {

enum class SampleOrder {
  kShuffled,
  kSequential,  ///< as in the dataset
  kGrouped,     ///< shuffled, then sorted by length within groups: see grouped_order
};

struct LoaderOptions {
  int64_t batch_size = 8;  ///< sequences per micro-batch
  /// Instead: as many sequences per micro-batch, in their order, as have no more tokens; 0: by
  /// batch_size.
  int64_t batch_tokens = 0;
  int64_t gradient_accumulation_steps = 1;  ///< micro-batches per update
  SampleOrder order = SampleOrder::kShuffled;
  bool drop_last = false;  ///< no batch that is not full
  uint64_t seed = 42;
  /// How long the run is, in epochs or, when above 0, in updates: with batch_tokens epochs may
  /// differ in their batches, and so many are counted.
  double n_epochs = 1;
  int64_t n_updates = 0;
};

/// The permutation of [0, n) of an epoch: Fisher-Yates over Philox draws.
std::vector<uint32_t> shuffled_order(int64_t n, uint64_t seed, uint32_t epoch);

/// transformers' group_by_length (train_sampling_strategy): `shuffled` is cut into groups of
/// min(n / (4 update_size), 50) updates (at least one), each group is sorted by length, longest
/// first, and the longest sample of all takes the first place, so that a lack of memory shows at
/// once.
std::vector<uint32_t> grouped_order(const std::vector<uint32_t>& shuffled,
                                    const TokenDataset& dataset, int64_t update_size);

/// An epoch has ceil(samples / batch_size) batches, or those that batch_tokens makes of its order;
/// the last batch and the last update of an epoch may be smaller. With drop_last the samples left
/// over by full batches are not used in that epoch; Error when there is no full batch, and when a
/// sample has more than batch_tokens.
class DataLoader {
 public:
  DataLoader(const TokenDataset& dataset, MlmCollator collator, const LoaderOptions& options);

  const EpochPlan& epochs() const { return epochs_; }
  /// From now on the collator's mlm_probability is this one's.
  void set_mask_rate(const MaskRate& rate) { rate_ = rate; }

  /// Fills `micro_batches` (reused) with the batches of update `step` (0-based, counted over all
  /// epochs). Their capacities are left alone. Returns how many there are; further entries are
  /// stale.
  int64_t load_update(int64_t step, std::vector<PackedBatch>& micro_batches);
  /// Batch `index` of an epoch.
  void load_batch(uint32_t epoch, int64_t index, PackedBatch& batch);

 private:
  void enter(int64_t epoch);
  std::vector<int64_t> count_batches();
  int64_t sample_at(int64_t place) const {
    return order_.empty() ? place : order_[static_cast<size_t>(place)];
  }

  const TokenDataset& dataset_;
  MlmCollator collator_;
  LoaderOptions options_;
  std::optional<MaskRate> rate_;
  // Of the epoch that was entered last:
  int64_t epoch_ = -1;
  std::vector<uint32_t> order_;  // empty: as in the dataset
  std::vector<int64_t> begins_;  // place of each batch in the order; then the end. By tokens only
  EpochPlan epochs_;
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
