// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Training and evaluation records from files. Knows no tokenizer.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qe {

/// One row of a dataset: a text, two texts that belong together, or token ids taken as they are.
struct Record {
  std::string text;
  std::optional<std::string> pair;      ///< the second text
  std::vector<int32_t> input_ids;       ///< non-empty: pre-tokenized, texts are not used
  std::vector<int32_t> labels;          ///< empty, or one per id; -100 = no label
  std::vector<int32_t> token_type_ids;  ///< empty, or one per id
  int64_t line = 0;                     ///< 1-based line in the file where it begins, for messages
};

/// Which columns are read. "" for `text`: the column "text"; or input_ids, labels, token_type_ids;
/// or the first column with a text that is not a number in the first row; or the first with a text.
/// "" for `pair`: the column "text_pair" if the first row has it.
struct TextColumns {
  std::string text;
  std::string pair;
};

/// Calls `take` with every row of the file, in order, and holds one row at a time. What the file is
/// its extension says (formats/dataset/registry.cpp). The first row decides on the columns; every
/// row must have them, as strings (null is refused). Errors name file and line, and the columns
/// there are when one is missing.
void read_records(const std::string& path, const TextColumns& columns,
                  const std::function<void(Record&&)>& take);

}  // namespace qe
