// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/library_versions.h"

namespace qe {

// One line for each library; the function stands beside its #include.
LibraryVersion version_of_re2();
LibraryVersion version_of_simdjson();
LibraryVersion version_of_xxhash();
LibraryVersion version_of_zlib();
LibraryVersion version_of_zstd();
LibraryVersion version_of_unicode_tables();

std::vector<LibraryVersion> library_versions() {
  return {version_of_simdjson(), version_of_re2(),  version_of_xxhash(),
          version_of_zlib(),     version_of_zstd(), version_of_unicode_tables()};
}

}  // namespace qe
