// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/token_shard.h"

#include <doctest/doctest.h>

#include <cstring>

#include "formats/atomic_write.h"
#include "formats/hash.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Ids = std::vector<int32_t>;
using Flags = std::vector<uint8_t>;

template <class T>
std::vector<T> list(std::span<const T> span) {
  return {span.begin(), span.end()};
}

/// Three samples; the second has types, the third labels.
TokenShardBuilder some_samples() {
  TokenShardBuilder builder;
  builder.add(Ids{2, 10, 3}, {}, Flags{1, 0, 1}, {});
  builder.add(Ids{2, 11, 12, 3}, Ids{0, 0, 1, 1}, Flags{1, 0, 2, 1}, {});
  builder.add(Ids{2, 3}, {}, Flags{1, 1}, Ids{-100, 7});
  return builder;
}

std::string bytes_of(const TokenShardBuilder& builder) {
  std::string bytes;
  builder.write([&](std::span<const std::byte> piece) {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  return bytes;
}

void check_samples(const TokenShard& shard) {
  REQUIRE(shard.size() == 3);
  CHECK(shard.n_tokens() == 9);
  CHECK(shard.max_length() == 4);
  CHECK(list(shard.ids(1)) == Ids{2, 11, 12, 3});
  CHECK(list(shard.ids(2)) == Ids{2, 3});
  CHECK(list(shard.type_ids(0)) == Ids{0, 0, 0});
  CHECK(list(shard.type_ids(1)) == Ids{0, 0, 1, 1});
  CHECK(list(shard.type_ids(2)) == Ids{0, 0});
  CHECK(list(shard.flags(1)) == Flags{1, 0, 2, 1});
  CHECK(shard.labels(0).empty());
  CHECK(shard.labels(1).empty());
  CHECK(list(shard.labels(2)) == Ids{-100, 7});
}

TEST_CASE("token_shard: in memory and mapped, the same samples and hash") {
  const TemporaryFolder folder;
  const TokenShardBuilder builder = some_samples();
  check_samples(builder.shard());
  const std::string path = folder.write("a.shard", bytes_of(builder));
  const TokenShard mapped = TokenShard::map(path, hash_file(path), 13);
  check_samples(mapped);
  CHECK(mapped.hash() == builder.shard().hash());
}

TEST_CASE("token_shard: columns of nothing but zeros are left out") {
  TokenShardBuilder builder = some_samples();
  builder.clear();
  builder.add(Ids{5, 6}, Ids{0, 0}, Flags{0, 0}, {});
  CHECK(bytes_of(builder).size() == 32 + 2 * 8 + 2 * 4 + 2);
  const TokenShard shard = builder.shard();
  CHECK(shard.type_ids(0).empty());
  CHECK(shard.labels(0).empty());
}

TEST_CASE("token_shard: what was not written so is refused") {
  const TemporaryFolder folder;
  const std::string good = bytes_of(some_samples());
  const auto error = [&](const std::string& bytes, int64_t vocab_size = 13) {
    const std::string path = folder.write("a.shard", bytes);
    const std::string message =
        error_of([&] { TokenShard::map(path, hash_file(path), vocab_size); });
    CHECK((message.empty() || message.starts_with(path + ": ")));
    return message.substr(std::min(message.size(), path.size() + 2));
  };
  const auto changed = [&](size_t at, auto value) {
    std::string bytes = good;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    return bytes;
  };
  CHECK(error(good) == "");
  CHECK(error(good.substr(0, 31)) == "31 bytes are too short for a token shard");
  CHECK(error("") == "0 bytes are too short for a token shard");
  for (size_t n = 32; n < good.size(); ++n) {
    REQUIRE(error(good.substr(0, n)).starts_with("expected "));
  }
  CHECK(error(good + "x").starts_with("expected "));
  CHECK(error(changed(0, 'q')) == "not a token shard");
  CHECK(error(changed(8, uint32_t{2})) == "expected a token shard of version 1, got 2");
  CHECK(error(changed(12, uint32_t{7})) == "unknown columns 7");
  CHECK(error(changed(16, UINT64_MAX)).find("samples of 9 tokens") != std::string::npos);
  CHECK(error(changed(24, uint64_t{1} << 62)).find("3 samples of") == 0);
  CHECK(error(changed(32, uint64_t{1})) == "samples do not cover the tokens");
  CHECK(error(changed(40, uint64_t{8})) == "sample 1 ends before it begins");
  CHECK(error(good, 12) == "a token id is outside the vocabulary of 12");
  const size_t ids = 32 + 4 * 8;
  CHECK(error(changed(ids, int32_t{-1})) == "a token id is outside the vocabulary of 13");
  CHECK(error(changed(ids + 9 * 4, int32_t{-1})) == "a token type is negative");
  CHECK(error(changed(ids + 18 * 4, int32_t{-99})) == "a label is outside the vocabulary of 13");
  const std::string path = folder.write("a.shard", changed(ids + 27 * 4, uint8_t{3}));
  CHECK(error_of([&] {
          TokenShard::map(path, hash_bytes(std::as_bytes(std::span(good))), 13);
        }).find("expected the content hash") != std::string::npos);
}

}  // namespace
}  // namespace qe
