// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// UTF-8: checking, reading and writing code points.

#include <cstdint>
#include <string>
#include <string_view>

namespace qe {

/// Whether all bytes are below 0x80.
bool is_ascii(std::string_view text);

/// The number of bytes of the longest valid UTF-8 prefix (no surrogates, nothing above U+10FFFF).
size_t valid_utf8_prefix_length(std::string_view text);

/// The text with every maximal invalid subpart replaced by U+FFFD, as Python's
/// bytes.decode(errors="replace") does; their number is added to n_replaced.
std::string replace_invalid_utf8(std::string_view text, int64_t& n_replaced);

/// Reads the code point at text[at] and advances `at`. The text must be valid UTF-8.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[at + k]); };
  const char32_t lead = byte(0);
  char32_t code_point;
  if (lead < 0x80) {
    code_point = lead;
    at += 1;
  } else if (lead < 0xE0) {
    code_point = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    at += 2;
  } else if (lead < 0xF0) {
    code_point = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    at += 3;
  } else {
    code_point =
        (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    at += 4;
  }
  return code_point;
}

/// The code point that ends at text[at] (at > 0); moves `at` back to its first byte.
inline char32_t previous_code_point(std::string_view text, size_t& at) {
  do {
    --at;
  } while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  size_t end = at;
  return next_code_point(text, end);
}

/// Writes a code point; returns the number of bytes (1 to 4).
inline int write_utf8(char32_t c, char* out) {
  if (c < 0x80) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x800) {
    out[0] = static_cast<char>(0xC0 | c >> 6);
    out[1] = tail(0);
    return 2;
  }
  if (c < 0x10000) {
    out[0] = static_cast<char>(0xE0 | c >> 12);
    out[1] = tail(6);
    out[2] = tail(0);
    return 3;
  }
  out[0] = static_cast<char>(0xF0 | c >> 18);
  out[1] = tail(12);
  out[2] = tail(6);
  out[3] = tail(0);
  return 4;
}

/// Code points in valid UTF-8.
int64_t count_code_points(std::string_view text);

}  // namespace qe
