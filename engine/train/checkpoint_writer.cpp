// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/checkpoint_writer.h"

#include <chrono>
#include <utility>

namespace qe {

CheckpointWriter::CheckpointWriter(std::string output_dir, std::vector<std::string> tokenizer_files,
                                   int64_t keep, TrainingSnapshot& snapshot)
    : output_dir_(std::move(output_dir)),
      tokenizer_files_(std::move(tokenizer_files)),
      keep_(keep),
      snapshot_(snapshot) {}

void CheckpointWriter::start(Context& ctx, TrainingState state, Json arguments,
                             RunProgress progress) {
  QE_CHECK(!pending(), "a checkpoint was not finished");
  snapshot_.take(ctx);
  written_ =
      std::async(std::launch::async,
                 [this, state = std::move(state), arguments = std::move(arguments),
                  progress = std::move(progress)] { return write(state, arguments, progress); });
}

CheckpointWriter::Written CheckpointWriter::write(const TrainingState& state, const Json& arguments,
                                                  const RunProgress& progress) const {
  Written written;
  try {
    snapshot_.wait();
    written.folder =
        write_checkpoint(output_dir_, state, arguments, progress, snapshot_, tokenizer_files_);
  } catch (const std::exception& error) {
    fail("checkpoint ", state.step, " was not written: ", error.what());
  }
  try {
    if (keep_ > 0) prune_checkpoints(output_dir_, keep_, state.step, state.best_step);
  } catch (const std::exception& error) {
    written.warning = error.what();
  }
  return written;
}

bool CheckpointWriter::done() const {
  return pending() && written_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace qe
