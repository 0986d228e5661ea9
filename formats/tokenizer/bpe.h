// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Byte-pair encoding: a word begins as its characters; of all neighbours that a merge rule joins,
// those of the first rule are joined, the leftmost first, until no rule applies.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/tokenizer/model.h"

namespace qe {

class Bpe final : public Model {
 public:
  struct Options {
    std::optional<std::string> unk_token;
    std::string continuing_subword_prefix;  ///< before all characters but a word's first
    std::string end_of_word_suffix;         ///< after a word's last
    bool fuse_unk = false;
    bool byte_fallback = false;  ///< unknown characters as "<0xE2>" and so on, if all are there
    bool ignore_merges = false;  ///< words of the vocabulary are one token
  };
  using Merges = std::vector<std::pair<std::string, std::string>>;
  static constexpr size_t kMaxMerges = size_t{1} << 22;  ///< of files that do not count them

  static Bpe from_json(const Json& json);
  /// From lines "a b" in order of rank, after an optional line "#version...". `name` stands for
  /// the file in errors.
  static Merges read_merges(std::string_view text, const std::string& name);

  /// Error when a rule joins or makes tokens that the vocabulary lacks. `where` stands before it.
  Bpe(Vocab vocab, const Merges& merges, Options options, const std::string& where);

  void tokenize(std::string_view word, std::vector<WordToken>& out) const override;
  const Vocab& vocab() const override { return vocab_; }
  std::string_view unk_token() const override {
    return options_.unk_token ? std::string_view(*options_.unk_token) : std::string_view();
  }

 private:
  struct Merge {
    uint64_t pair = kNoPair;  // left id << 32 | right id
    uint32_t rank = 0;
    int32_t id = 0;  // what it makes
  };
  struct Symbol {
    int32_t id;
    int32_t previous, next;  // -1: none
    uint32_t length;         // bytes of the word; 0: merged into the one before
  };
  static constexpr uint64_t kNoPair = UINT64_MAX;

  const Merge* find_merge(int32_t left, int32_t right) const;
  void add_merge(const Merge& merge);
  std::optional<int32_t> char_id(std::string_view c, bool first, bool last) const;
  bool push_bytes(std::string_view text, std::vector<Symbol>& symbols) const;
  void split_chars(std::string_view word, std::vector<Symbol>& symbols) const;
  void merge_all(std::vector<Symbol>& symbols) const;

  Vocab vocab_;
  Options options_;
  std::optional<int32_t> unk_id_;
  std::vector<Merge> merges_;      // a power of two of them, at most half used
  std::vector<int32_t> char_ids_;  // of characters below 0x800 without prefix and suffix; -1
  std::vector<int32_t> byte_ids_;  // of "<0x00>" and so on; -1
};

}  // namespace qe
