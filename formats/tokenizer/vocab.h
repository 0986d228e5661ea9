// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The model's own vocabulary: token <-> id.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "formats/tokenizer/string_table.h"

namespace qe {

/// Ids need not be dense. A vocabulary does not change after loading.
class Vocab {
 public:
  /// Ids of this and above are refused: tables are indexed by id.
  static constexpr int64_t kMaxIds = int64_t{1} << 24;

  /// From {"token": id, ...}. Error on two tokens of one id, and on ids that are no integers,
  /// outside [0, kMaxIds) or far above the number of tokens.
  static Vocab from_json(const Json& json);
  /// From a file of one token per line, the line's number being its id. As the reference's Python
  /// reader: lines end with \n, \r\n or \r, only that is stripped, empty lines count (and are the
  /// token ""), and of equal lines the last has the token. Error when the file is empty or not
  /// UTF-8.
  static Vocab from_lines(const std::string& path);

  /// From pieces by id; all keep their ids, but the text of equal pieces means the last one.
  static Vocab from_pieces(const std::vector<std::pair<std::string, double>>& pieces,
                           const std::string& where);

  std::optional<int32_t> id(std::string_view token) const;
  /// The token's text, or null pointer.
  const std::string* token(int32_t id) const;
  int64_t size() const { return n_tokens_; }
  int64_t id_end() const { return static_cast<int64_t>(tokens_.size()); }  ///< highest id + 1
  const StringTable& table() const { return table_; }

 private:
  std::vector<std::string> tokens_;  // by id
  std::vector<bool> present_;        // by id
  StringTable table_;
  int64_t n_tokens_ = 0;
};

/// An id read from a file. Error unless it is an integer in [0, Vocab::kMaxIds).
int32_t token_id_from_json(const Json& json);

}  // namespace qe
