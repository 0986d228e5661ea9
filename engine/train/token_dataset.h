// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A tokenized dataset in memory: the samples that training and evaluation index by number.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/dataset/text_reader.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/log.h"
#include "kernels/core/parallel.h"

namespace qe {

/// What masking must know of a token, in one byte.
enum TokenFlag : uint8_t {
  kSpecialToken = 1,     ///< is to be left alone
  kInsideWord = 2,       ///< of the same pre-tokenizer word as the token before
  kTouchesPrevious = 4,  ///< begins where the token before ends: of one word for transformers
};
/// The flags of an encoded row. What follows a special token begins a word.
std::vector<uint8_t> token_flags(const Encoding& encoding);

/// Samples of token ids, concatenated. A sample's index is its global sample id.
class TokenDataset {
 public:
  int64_t size() const { return static_cast<int64_t>(begins_.size()) - 1; }
  int64_t n_tokens() const { return static_cast<int64_t>(ids_.size()); }
  int64_t max_length() const { return max_length_; }

  std::span<const int32_t> ids(int64_t sample) const { return slice(ids_, sample); }
  /// Empty when all are 0.
  std::span<const int32_t> type_ids(int64_t sample) const { return slice(type_ids_, sample); }
  /// TokenFlags.
  std::span<const uint8_t> flags(int64_t sample) const { return slice(flags_, sample); }
  /// Given labels (kNoLabel where there is none); empty when this sample is to be masked.
  std::span<const int32_t> labels(int64_t sample) const {
    return has_labels_[sample] ? slice(labels_, sample) : std::span<const int32_t>{};
  }

  /// Appends a sample. type_ids and labels may be empty.
  void add(std::span<const int32_t> ids, std::span<const int32_t> type_ids,
           std::span<const uint8_t> flags, std::span<const int32_t> labels);
  /// Drops all samples from `n` on.
  void truncate(int64_t n);
  /// Content hash of everything above.
  std::string hash() const;

 private:
  template <class T>
  std::span<const T> slice(const std::vector<T>& all, int64_t sample) const {
    if (all.empty()) return {};
    return std::span<const T>(all).subspan(begins_[sample], begins_[sample + 1] - begins_[sample]);
  }
  std::vector<int64_t> begins_{0};
  std::vector<int32_t> ids_;
  std::vector<int32_t> type_ids_;  // empty or like ids_
  std::vector<uint8_t> flags_;
  std::vector<int32_t> labels_;  // empty or like ids_
  std::vector<uint8_t> has_labels_;
  int64_t max_length_ = 0;
};

struct TokenizeOptions {
  int64_t max_length = 512;   ///< tokens per sample, special tokens included
  bool line_by_line = false;  ///< a row is a sample, truncated; else rows are joined and cut
  /// Joined rows: special tokens around every piece ([CLS] piece [SEP]), not around every row.
  bool wrap_pieces = false;
  int64_t max_samples = 0;   ///< 0 = all
  bool needs_words = false;  ///< rows of input_ids to be masked are an Error: they have no words
};

/// Tokenizes rows. Line by line: blank rows are dropped, the others truncated; a row with
/// a second text becomes [CLS] text [SEP] pair [SEP], the longer of the two truncated first; it is
/// an Error in the other mode. Otherwise as
/// run_mlm.py does: rows are tokenized with their special tokens, joined in groups of 1000 rows and
/// cut into max_length pieces; the remainder of every group is dropped. With wrap_pieces, all rows
/// are joined without special tokens, every piece gets its own, and the last, shorter one is kept.
/// Rows that hold input_ids are taken as they are. `name` stands for the dataset in messages.
/// Invalid UTF-8 is replaced, counted and logged. Throws Error when no sample results, or ids leave
/// the vocabulary.
TokenDataset tokenize_records(const std::vector<Record>& records, const std::string& name,
                              const Tokenizer& tokenizer, int64_t vocab_size,
                              const TokenizeOptions& options, ThreadPool& threads, const Log& log);

}  // namespace qe
