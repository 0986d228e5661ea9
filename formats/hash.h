// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Content hashes: XXH3 128 bits, as 32 lower-case hexadecimal digits.

#include <cstddef>
#include <span>
#include <string>

namespace qe {

std::string hash_bytes(std::span<const std::byte> bytes);
std::string hash_file(const std::string& path);

}  // namespace qe
