// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Zip archives whose entries are stored, not compressed: torch.save's container.

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "formats/mapped_file.h"

namespace qe {

/// The entries' data by name, where they lie in the mapping; with or without zip64. Throws Error
/// naming file and entry for what is truncated, out of range, compressed, encrypted, there twice,
/// or overlaps another entry. Checksums are not computed.
std::map<std::string, std::span<const std::byte>> read_zip_archive(const MappedFile& file);

}  // namespace qe
