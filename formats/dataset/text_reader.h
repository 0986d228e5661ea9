// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Training and evaluation records from files. Knows no tokenizer.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace qe {

/// One row of a dataset: a text, or token ids taken as they are.
struct Record {
  std::string text;
  std::vector<int32_t> input_ids;       ///< non-empty: pre-tokenized, text is not used
  std::vector<int32_t> labels;          ///< empty, or one per id; -100 = no label
  std::vector<int32_t> token_type_ids;  ///< empty, or one per id
  int64_t line = 0;                     ///< 1-based line in the file, for messages
};

/// Calls `take` with every row of the file, in order: `.txt` (a line is a row, newline removed),
/// `.jsonl` and `.json` with JSON lines (objects; `text_column`, or "text", or the first string
/// column; or input_ids / labels / token_type_ids). Errors name file, line and column. Other
/// extensions are refused with the list of known ones.
void read_records(const std::string& path, const std::string& text_column,
                  const std::function<void(Record&&)>& take);

}  // namespace qe
