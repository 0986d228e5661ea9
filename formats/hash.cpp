// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/hash.h"

#include <xxhash.h>

#include "formats/library_versions.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {

std::string hash_bytes(std::span<const std::byte> bytes) {
  // A null pointer is only allowed together with length 0, and an empty span may hold one.
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
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

LibraryVersion version_of_xxhash() {
  const unsigned n = XXH_versionNumber();
  return {"xxHash", cat(n / 10000, '.', n / 100 % 100, '.', n % 100), ""};
}

std::string hash_file(const std::string& path) { return hash_bytes(MappedFile(path).bytes()); }

}  // namespace qe
