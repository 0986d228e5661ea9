// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/utf8.h"

#include <cstring>

namespace qe {
namespace {

/// A sequence at the start of text: its length, and whether it is valid. An invalid one is the
/// maximal subpart: the longest prefix of some valid sequence, at least one byte.
struct Utf8Sequence {
  size_t length;
  bool valid;
};

Utf8Sequence first_sequence(std::string_view text) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, true};
  const size_t length = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0) return {1, false};
  // The second byte's range excludes overlong forms, surrogates and what is above U+10FFFF.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t k = 1; k < length; ++k) {
    const bool in_range =
        k < text.size() && (k == 1 ? byte(k) >= low && byte(k) <= high : (byte(k) & 0xC0) == 0x80);
    if (!in_range) return {k, false};
  }
  return {length, true};
}

}  // namespace

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080ull) return false;
  }
  for (; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80) return false;
  }
  return true;
}

size_t valid_utf8_prefix_length(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Sequence sequence = first_sequence(text.substr(i));
    if (!sequence.valid) return i;
    i += sequence.length;
  }
  return i;
}

std::string replace_invalid_utf8(std::string_view text, int64_t& n_replaced) {
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    const size_t n_valid = valid_utf8_prefix_length(text);
    out.append(text.substr(0, n_valid));
    text.remove_prefix(n_valid);
    if (text.empty()) break;
    out.append("\xEF\xBF\xBD");
    text.remove_prefix(first_sequence(text).length);
    ++n_replaced;
  }
  return out;
}

int64_t count_code_points(std::string_view text) {
  int64_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

}  // namespace qe
