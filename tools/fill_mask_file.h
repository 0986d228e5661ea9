// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// fill-mask over a file: a request in each line, an answer in each line.

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/infer/fill_mask.h"
#include "formats/json.h"

namespace qe::tools {

/// What the Hugging Face pipeline returns: a list of answers for one mask, a list of such lists for
/// several.
Json pipeline_json(const MaskAnswers& masks);

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
  int64_t top_k = 5;                ///< of lines that do not say
  std::vector<int32_t> candidates;  ///< of lines that do not say
};

struct FileResult {
  int64_t n_answers = 0;
  int64_t n_errors = 0;
  std::string first_error;  ///< "input:line: what"
  bool stopped = false;     ///< by the token: the output file is as it was before
};

/// Answers every line in order. The output appears whole or not at all; memory does not depend on
/// the file's size. Blank lines of JSON have no answer. Calls progress(lines so far) after every
/// batch. Throws Error when a file cannot be read or written, and, with kFail, for the first line
/// that cannot be answered.
FileResult fill_mask_file(FillMask& model, const FileRequest& request,
                          const std::atomic<bool>& stop,
                          const std::function<void(int64_t)>& progress);

}  // namespace qe::tools
