// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What each step of a run saw, as JSON lines: for comparing with other trainers, and for running
// the very same batches again. One line per micro-batch:
//   {"step": 0-based, "micro_step", "sample_ids": [B], "input_ids": [[...]], "token_type_ids":
//   [[...]],
//    "labels": [[...]]}   with -100 where there is no label.

#include <fstream>
#include <string>
#include <vector>

#include "engine/model/packed_batch.h"

namespace qe {

class BatchDumpWriter {
 public:
  /// Throws Error when the file cannot be created, and from write when it cannot be written.
  /// append: to what is there already.
  explicit BatchDumpWriter(const std::string& path, bool append = false);
  void write(int64_t step, int64_t micro_step, const PackedBatch& batch);

 private:
  std::string path_;
  std::ofstream file_;
};

/// Reads a dump back, bit for bit: element s holds the micro-batches of its s-th step. Steps may
/// begin anywhere and leave some out, but do not go back. Throws Error naming file and line.
std::vector<std::vector<PackedBatch>> read_batch_dump(const std::string& path,
                                                      const EncoderConfig& config);

/// A source of batches for TrainEvents::load_update: the steps of a dump instead of the data
/// loader's.
class BatchReplay {
 public:
  BatchReplay(const std::string& path, const EncoderConfig& config)
      : path_(path), steps_(read_batch_dump(path, config)) {}

  /// Copies the micro-batches of `step` into `batches`, whose capacities stay, and returns how many
  /// there are. Throws Error when the dump ends before.
  int64_t load_update(int64_t step, std::vector<PackedBatch>& batches) const;

 private:
  std::string path_;
  std::vector<std::vector<PackedBatch>> steps_;
};

}  // namespace qe
