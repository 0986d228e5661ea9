// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What commands over many texts have in common: texts are collected, answered some batches at a
// time and written in their order, to standard output or to a file that appears when all is there.

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "engine/infer/session.h"
#include "engine/train/stop_token.h"
#include "formats/atomic_write.h"
#include "tools/args.h"
#include "tools/progress.h"

namespace qe::tools {

/// Some batches are collected before they run, so that few run half full.
inline constexpr int64_t kBatchesAtOnce = 4;

struct TextJob {
  std::string name;             ///< of the bar
  const InferSession& session;  ///< the one that answers
  std::function<EncodedText(const std::string& text)> prepare;
  std::function<int64_t(const EncodedText&)> cost;  ///< tokens that the answer takes to compute
  std::function<std::string(std::span<const EncodedText>)> answer;  ///< the bytes to be written
};

/// Answers every text of a command (for_each_input), says how many were cut, and returns their
/// number. Throws Error as prepare and answer do, and Stopped.
int64_t answer_texts(const Arguments& arguments, const TextJob& job, StopToken stop,
                     Progress& progress, const Append& write);

/// Lets `produce` write the file `output`, atomically, or standard output where there is no name.
void write_answers(const std::string& output, const std::function<void(const Append&)>& produce);

/// Runs what writes `output` ("": standard output). Returns the exit status: where a signal stopped
/// it, after a line that says so, that signal's.
int unless_stopped(const std::string& output, Progress& progress, const std::function<void()>& run);

}  // namespace qe::tools
