// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Samples of token ids in columns, as they lie in a file and, mapped, in memory. Little-endian:
//
//   "QETOKENS"  u32 version  u32 columns (1: type ids, 2: labels)  u64 n_samples  u64 n_tokens
//   u64 begin[n_samples + 1]   of each sample among the tokens
//   i32 id[n_tokens]
//   i32 type_id[n_tokens]      if there are any but 0
//   i32 label[n_tokens]        if there are any; -100: none
//   u8  flags[n_tokens]        what masking must know (engine/train/token_dataset.h)
//   u8  has_labels[n_samples]  with labels
//
// Lengths follow from the header, to the byte.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace qe {

/// Read-only samples. Copies share their memory.
class TokenShard {
 public:
  /// `bytes` (8-byte aligned, kept alive by `owner`) as TokenShardBuilder writes them. Checks all
  /// lengths; Error beginning with `name`.
  TokenShard(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
             const std::string& name);
  /// Of a mapped file. It is read once for its hash and its checks, then as samples are asked for.
  /// Error when its hash is another, or an id or label is outside [0, vocab_size).
  static TokenShard map(const std::string& path, const std::string& hash, int64_t vocab_size);

  int64_t size() const { return static_cast<int64_t>(begins_.size()) - 1; }
  int64_t n_tokens() const { return static_cast<int64_t>(ids_.size()); }
  int64_t max_length() const { return max_length_; }
  int64_t min_length() const { return min_length_; }  ///< 0: no sample
  const std::string& hash() const { return hash_; }   ///< of all bytes

  std::span<const int32_t> ids(int64_t sample) const { return slice(ids_, sample); }
  /// Empty when all are 0.
  std::span<const int32_t> type_ids(int64_t sample) const { return slice(type_ids_, sample); }
  std::span<const uint8_t> flags(int64_t sample) const { return slice(flags_, sample); }
  /// Empty when this sample has none.
  std::span<const int32_t> labels(int64_t sample) const {
    if (labels_.empty() || has_labels_[static_cast<size_t>(sample)] == 0) return {};
    return slice(labels_, sample);
  }

 private:
  template <class T>
  std::span<const T> slice(std::span<const T> column, int64_t sample) const {
    if (column.empty()) return {};
    const auto k = static_cast<size_t>(sample);
    return column.subspan(begins_[k], begins_[k + 1] - begins_[k]);
  }
  void check_values(int64_t vocab_size, const std::string& name) const;

  std::shared_ptr<const void> owner_;
  std::span<const uint64_t> begins_;
  std::span<const int32_t> ids_, type_ids_, labels_;
  std::span<const uint8_t> flags_, has_labels_;
  int64_t max_length_ = 0, min_length_ = 0;
  std::string hash_;
};

/// Samples on their way into a shard.
class TokenShardBuilder {
 public:
  /// type_ids and labels may be empty; what is not is as long as ids.
  void add(std::span<const int32_t> ids, std::span<const int32_t> type_ids,
           std::span<const uint8_t> flags, std::span<const int32_t> labels);
  int64_t size() const { return static_cast<int64_t>(begins_.size()) - 1; }
  int64_t n_tokens() const { return static_cast<int64_t>(ids_.size()); }
  /// Starts over. Keeps its memory.
  void clear();

  /// Gives all bytes, piece by piece.
  void write(const std::function<void(std::span<const std::byte>)>& append) const;
  /// The shard, in memory.
  TokenShard shard() const;

 private:
  std::vector<uint64_t> begins_{0};
  std::vector<int32_t> ids_;
  std::vector<int32_t> type_ids_;  // empty or like ids_
  std::vector<uint8_t> flags_;
  std::vector<int32_t> labels_;  // empty or like ids_
  std::vector<uint8_t> has_labels_;
};

}  // namespace qe
