// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Which epoch an update is of. Trainer's arithmetic: an epoch has ceil(batches / accumulation)
// updates, the last of them may have fewer batches.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qe {

class EpochPlan {
 public:
  /// batches: of each epoch (> 0), the last one's also of all that follow; at least one.
  EpochPlan(std::vector<int64_t> batches, int64_t gradient_accumulation_steps);

  struct Place {
    int64_t epoch;
    int64_t update;  ///< in the epoch
  };
  /// Of update `step`, 0-based.
  Place place_of(int64_t step) const;
  int64_t batches(int64_t epoch) const { return batches_[index(epoch)]; }
  int64_t updates(int64_t epoch) const;
  /// Updates of so many epochs; of a part of one, as many as it takes.
  int64_t updates_of(double n_epochs) const;
  /// Epochs that `step` updates are; whole when the last of them ends one.
  double epochs_of(int64_t step) const;

 private:
  size_t index(int64_t epoch) const;
  int64_t first_update(int64_t epoch) const;

  std::vector<int64_t> batches_;
  std::vector<int64_t> firsts_;  // update of each epoch in batches_
  int64_t accumulation_;
};

}  // namespace qe
