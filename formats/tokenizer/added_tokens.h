// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Tokens beside the model's vocabulary ("[MASK]", user tokens): found in the text before anything
// else touches it, or after normalization.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/tokenizer/byte_trie.h"
#include "formats/tokenizer/normalizer.h"
#include "formats/tokenizer/string_table.h"
#include "formats/tokenizer/vocab.h"

namespace qe {

struct AddedToken {
  std::string content;
  bool single_word = false;  ///< not next to a word character
  bool lstrip = false;       ///< takes the white space to its left
  bool rstrip = false;
  bool normalized = true;  ///< found in normalized text, by its normalized content
  bool special = false;    ///< left out by decode(skip_special_tokens)
  bool operator==(const AddedToken&) const = default;
};

/// From {"content": ..., flags}, or a string (then a special token that is not normalized).
/// `special` stands in for a missing "special".
/// Other missing flags are false; a missing "normalized" is !special.
AddedToken added_token_from_json(const Json& json, bool special = false);

/// Leftmost-longest search for some of the added tokens.
class AddedTokenMatcher {
 public:
  /// Looks for `pattern` on behalf of `token`; of equal patterns the first stays.
  void add(std::string_view pattern, int32_t id, const AddedToken& token);

  /// A piece of a text: an added token (id >= 0) or what lies between.
  struct Piece {
    size_t begin, end;
    int32_t id = -1;
  };
  /// Covers `text` with pieces, in order; none is empty.
  void split(std::string_view text, std::vector<Piece>& pieces) const;

 private:
  struct Entry {
    int32_t id;
    bool single_word, lstrip, rstrip;
  };
  std::vector<Entry> entries_;
  ByteTrie patterns_;  // -> index into entries_
};

/// All added tokens of a tokenizer. Filled by the loader, constant afterwards.
class AddedVocab {
 public:
  /// Adds a token, or gives the token of this content new flags. Its id is the model's if the
  /// model knows the content, else the next free one. Returns it.
  int32_t add(const AddedToken& token, const Vocab& vocab);
  /// Builds the matchers. Call once, after the last add.
  void finish(const Normalizer* normalizer);

  const AddedTokenMatcher& raw() const { return raw_; }                ///< before normalization
  const AddedTokenMatcher& normalized() const { return normalized_; }  ///< after it
  const AddedToken* find(int32_t id) const;
  std::optional<int32_t> id(std::string_view content) const;
  /// What decoding shows for the token: normalized tokens appear as they are matched.
  const std::string* decoded(int32_t id) const;
  /// Whether decode(skip_special_tokens) leaves out what decodes to this text.
  bool is_special(std::string_view decoded) const {
    return special_contents_.find(decoded) != StringTable::kNotFound;
  }
  int64_t size() const { return static_cast<int64_t>(by_id_.size()); }
  /// Tokens whose content the model does not know.
  int64_t n_new() const { return n_new_; }
  const std::map<int32_t, AddedToken>& by_id() const { return by_id_; }

 private:
  std::map<int32_t, AddedToken> by_id_;
  std::map<int32_t, std::string> patterns_;  // normalized content, where it differs
  StringTable ids_;
  StringTable special_contents_;
  AddedTokenMatcher raw_, normalized_;
  int64_t n_new_ = 0;
};

}  // namespace qe
