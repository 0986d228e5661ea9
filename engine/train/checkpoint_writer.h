// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Writes checkpoints on a thread of its own, from a snapshot, while the training goes on.

#include <future>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/training_snapshot.h"
#include "engine/train/training_state.h"

namespace qe {

class CheckpointWriter {
 public:
  /// keep: checkpoints that stay, see prune_checkpoints; 0: all. The snapshot outlives the writer.
  CheckpointWriter(std::string output_dir, std::vector<std::string> tokenizer_files, int64_t keep,
                   TrainingSnapshot& snapshot);
  /// Waits.
  ~CheckpointWriter() = default;
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Takes the snapshot and begins to write it. The one before has been finished.
  void start(Context& ctx, TrainingState state, Json arguments, RunProgress progress);
  /// Whether a checkpoint has been started and is not finished.
  bool pending() const { return written_.valid(); }
  /// Whether finish() would not wait.
  bool done() const;
  struct Written {
    std::string folder;
    std::string warning;  ///< older checkpoints that could not be deleted; else ""
  };
  /// Waits for a pending checkpoint. Throws Error when it could not be written; then there is
  /// nothing of it, and the earlier ones are as they were.
  Written finish() { return written_.get(); }

 private:
  Written write(const TrainingState& state, const Json& arguments,
                const RunProgress& progress) const;

  std::string output_dir_;
  std::vector<std::string> tokenizer_files_;
  int64_t keep_;
  TrainingSnapshot& snapshot_;
  std::future<Written> written_;  // last: its thread uses all of the above
};

}  // namespace qe
