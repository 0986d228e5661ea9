// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// fill-mask over a file: a request in each line, an answer in each line.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/infer/joint_fill.h"
#include "engine/train/stop_token.h"
#include "formats/json.h"

namespace qe::tools {

/// How masks are filled: unset, each on its own, as the Hugging Face pipeline does.
struct FillMode {
  std::optional<JointOptions> joint;  ///< all masks of a text together
  bool whole_targets = false;         ///< each mask with targets of any number of tokens
};

/// A text and what may fill it.
struct FillTask {
  MaskedText text;
  std::vector<std::vector<int32_t>> words;  ///< with FillMode::whole_targets
};

/// Resolves the words that `mode` scores: to `candidates` or to `words`.
struct Targets {
  std::vector<int32_t> candidates;
  std::vector<std::vector<int32_t>> words;
};
Targets targets_of(const FillMask& model, const FillMode& mode,
                   const std::vector<std::string>& words);
/// Throws Error as FillMask::prepare does, and where whole targets are to be scored and are none.
FillTask fill_task(const FillMask& model, const FillMode& mode, const std::string& text,
                   int64_t top_k, const Targets& targets);

/// The answers to a text, by the mode: one of the two is empty.
struct FillAnswers {
  MaskAnswers masks;
  TokensAnswers tokens;
};
std::vector<FillAnswers> fill_tasks(FillMask& model, std::span<const FillTask> tasks,
                                    const FillMode& mode);

/// What the Hugging Face pipeline returns: a list of answers for one mask, a list of such lists for
/// several. Where answers have several tokens: likewise, with "log_probability", "tokens" and
/// "token_strs".
Json answers_json(const FillAnswers& answers);

/// What becomes of a line that cannot be answered.
enum class OnError {
  kFail,  ///< it ends the run
  kSkip,  ///< it has no answer
  kNull,  ///< its answer is null
};

struct FileRequest {
  std::string
      input;  ///< .jsonl (.json): {"text", "targets"?, "top_k"?}; .txt: texts; also .gz, .zst
  std::string output;  ///< JSON lines
  OnError on_error = OnError::kFail;
  FillMode mode;
  int64_t top_k = 5;  ///< of lines that do not say
  Targets targets;    ///< of lines that do not say
};

struct FileResult {
  int64_t n_answers = 0;
  int64_t n_errors = 0;
  std::string first_error;  ///< "input:line: what"
};

/// Answers every line in order. The output appears whole or not at all; memory does not depend on
/// the file's size. Blank lines of JSON have no answer. Calls progress(lines so far) after every
/// batch. Throws Error when a file cannot be read or written, and, with kFail, for the first line
/// that cannot be answered; Stopped when `stop` is set.
FileResult fill_mask_file(FillMask& model, const FileRequest& request, StopToken stop,
                          const std::function<void(int64_t)>& progress);

}  // namespace qe::tools
