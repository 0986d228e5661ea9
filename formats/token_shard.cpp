// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/token_shard.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "formats/hash.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are mapped as they are");

constexpr char kMagic[] = {'Q', 'E', 'T', 'O', 'K', 'E', 'N', 'S'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kTypeIds = 1, kLabels = 2;
constexpr uint64_t kMost = uint64_t{1} << 40;  // samples or tokens: sums of sizes cannot overflow
constexpr int32_t kNoLabel = -100;

struct Header {
  char magic[sizeof kMagic];
  uint32_t version, columns;
  uint64_t n_samples, n_tokens;
};
static_assert(sizeof(Header) == 32);

/// The next n values of the bytes, which must be long enough.
template <class T>
std::span<const T> take(std::span<const std::byte>& bytes, size_t n) {
  const std::span<const T> column(reinterpret_cast<const T*>(bytes.data()), n);
  bytes = bytes.subspan(column.size_bytes());
  return column;
}

}  // namespace

TokenShard::TokenShard(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                       const std::string& name)
    : owner_(std::move(owner)), hash_(hash_bytes(bytes)) {
  Header header;
  QE_CHECK(bytes.size() >= sizeof header, name, ": ", bytes.size(),
           " bytes are too short for a token shard");
  std::memcpy(&header, bytes.data(), sizeof header);
  QE_CHECK(std::memcmp(header.magic, kMagic, sizeof kMagic) == 0, name, ": not a token shard");
  QE_CHECK(header.version == kVersion, name, ": expected a token shard of version ", kVersion,
           ", got ", header.version);
  QE_CHECK((header.columns & ~(kTypeIds | kLabels)) == 0, name, ": unknown columns ",
           header.columns);
  QE_CHECK(header.n_samples < kMost && header.n_tokens < kMost, name, ": ", header.n_samples,
           " samples of ", header.n_tokens, " tokens in ", bytes.size(), " bytes");
  const bool has_types = header.columns & kTypeIds;
  const bool has_labels = header.columns & kLabels;
  const uint64_t per_token = 5u + (has_types ? 4u : 0u) + (has_labels ? 4u : 0u);
  const uint64_t per_sample = 8u + (has_labels ? 1u : 0u);
  const uint64_t expected =
      sizeof header + 8 + header.n_tokens * per_token + header.n_samples * per_sample;
  QE_CHECK(bytes.size() == expected, name, ": expected ", expected, " bytes, got ", bytes.size());

  const auto n_samples = static_cast<size_t>(header.n_samples);
  const auto n_tokens = static_cast<size_t>(header.n_tokens);
  bytes = bytes.subspan(sizeof header);
  begins_ = take<uint64_t>(bytes, n_samples + 1);
  ids_ = take<int32_t>(bytes, n_tokens);
  if (has_types) type_ids_ = take<int32_t>(bytes, n_tokens);
  if (has_labels) labels_ = take<int32_t>(bytes, n_tokens);
  flags_ = take<uint8_t>(bytes, n_tokens);
  if (has_labels) has_labels_ = take<uint8_t>(bytes, n_samples);

  QE_CHECK(begins_.front() == 0 && begins_.back() == n_tokens, name,
           ": samples do not cover the tokens");
  for (size_t i = 0; i < n_samples; ++i) {
    QE_CHECK(begins_[i] <= begins_[i + 1], name, ": sample ", i, " ends before it begins");
    const auto length = static_cast<int64_t>(begins_[i + 1] - begins_[i]);
    max_length_ = std::max(max_length_, length);
    min_length_ = i == 0 ? length : std::min(min_length_, length);
  }
}

TokenShard TokenShard::map(const std::string& path, const std::string& hash, int64_t vocab_size) {
  const auto file = std::make_shared<MappedFile>(path);
  TokenShard shard(file->bytes(), file, path);
  QE_CHECK(shard.hash_ == hash, path, ": expected the content hash ", hash, ", got ", shard.hash_);
  shard.check_values(vocab_size, path);
  file->drop_pages(0, file->bytes().size());
  return shard;
}

void TokenShard::check_values(int64_t vocab_size, const std::string& name) const {
  const auto is_id = [&](int32_t id) { return id >= 0 && id < vocab_size; };
  QE_CHECK(std::all_of(ids_.begin(), ids_.end(), is_id), name,
           ": a token id is outside the vocabulary of ", vocab_size);
  const auto is_label = [&](int32_t label) { return label == kNoLabel || is_id(label); };
  QE_CHECK(std::all_of(labels_.begin(), labels_.end(), is_label), name,
           ": a label is outside the vocabulary of ", vocab_size);
  QE_CHECK(std::all_of(type_ids_.begin(), type_ids_.end(), [](int32_t t) { return t >= 0; }), name,
           ": a token type is negative");
}

void TokenShardBuilder::add(std::span<const int32_t> ids, std::span<const int32_t> type_ids,
                            std::span<const uint8_t> flags, std::span<const int32_t> labels) {
  const size_t before = ids_.size();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  flags_.insert(flags_.end(), flags.begin(), flags.end());
  const bool any_type = std::any_of(type_ids.begin(), type_ids.end(), [](int32_t t) { return t; });
  if (any_type) type_ids_.resize(before, 0);
  if (any_type || !type_ids_.empty()) {
    type_ids_.insert(type_ids_.end(), type_ids.begin(), type_ids.end());
    type_ids_.resize(ids_.size(), 0);
  }
  if (!labels.empty()) labels_.resize(before, kNoLabel);
  if (!labels.empty() || !labels_.empty()) {
    labels_.insert(labels_.end(), labels.begin(), labels.end());
    labels_.resize(ids_.size(), kNoLabel);
  }
  has_labels_.push_back(labels.empty() ? 0 : 1);
  begins_.push_back(ids_.size());
}

void TokenShardBuilder::clear() {
  begins_.assign(1, 0);
  ids_.clear();
  type_ids_.clear();
  flags_.clear();
  labels_.clear();
  has_labels_.clear();
}

void TokenShardBuilder::write(const std::function<void(std::span<const std::byte>)>& append) const {
  Header header{.magic = {},
                .version = kVersion,
                .columns = (type_ids_.empty() ? 0 : kTypeIds) | (labels_.empty() ? 0 : kLabels),
                .n_samples = begins_.size() - 1,
                .n_tokens = ids_.size()};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  append(std::as_bytes(std::span(&header, 1)));
  append(std::as_bytes(std::span(begins_)));
  append(std::as_bytes(std::span(ids_)));
  append(std::as_bytes(std::span(type_ids_)));
  append(std::as_bytes(std::span(labels_)));
  append(std::as_bytes(std::span(flags_)));
  if (!labels_.empty()) append(std::as_bytes(std::span(has_labels_)));
}

TokenShard TokenShardBuilder::shard() const {
  const auto bytes = std::make_shared<std::vector<std::byte>>();
  write([&](std::span<const std::byte> piece) {
    bytes->insert(bytes->end(), piece.begin(), piece.end());
  });
  return TokenShard(*bytes, bytes, "a shard in memory");
}

}  // namespace qe
