// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/hash.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>

#include "formats/library_versions.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {

namespace {

std::string hexadecimal(const XXH128_hash_t& hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : canonical.digest) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

}  // namespace

std::string hash_bytes(std::span<const std::byte> bytes) {
  // A null pointer is only allowed together with length 0, and an empty span may hold one.
  return hexadecimal(XXH3_128bits(bytes.data(), bytes.size()));
}

LibraryVersion version_of_xxhash() {
  const unsigned n = XXH_versionNumber();
  return {"xxHash", cat(n / 10000, '.', n / 100 % 100, '.', n % 100), ""};
}

std::string hash_file(const std::string& path) {
  constexpr size_t kPiece = size_t{16} << 20;
  const MappedFile file(path);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  QE_CHECK(state, path, ": no memory to hash it");
  XXH3_128bits_reset(state.get());
  for (size_t begin = 0; begin < file.bytes().size(); begin += kPiece) {
    const size_t n = std::min(kPiece, file.bytes().size() - begin);
    XXH3_128bits_update(state.get(), file.bytes().data() + begin, n);
    file.drop_pages(begin, begin + n);
  }
  return hexadecimal(XXH3_128bits_digest(state.get()));
}

}  // namespace qe
