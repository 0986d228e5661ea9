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
  explicit BatchDumpWriter(const std::string& path);
  void write(int64_t step, int64_t micro_step, const PackedBatch& batch);

 private:
  std::string path_;
  std::ofstream file_;
};

/// Reads a dump back, bit for bit: element s holds the micro-batches of step s. Steps must count up
/// from 0. Throws Error naming file and line.
std::vector<std::vector<PackedBatch>> read_batch_dump(const std::string& path,
                                                      const EncoderConfig& config);

}  // namespace qe
