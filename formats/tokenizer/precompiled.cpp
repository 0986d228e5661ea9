// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/precompiled.h"

#include <algorithm>
#include <cstring>

#include "formats/tokenizer/grapheme.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kWholeClusterBelow = 6;  // bytes
constexpr int32_t kNoKey = -1;

bool ends_key(uint32_t unit) { return unit >> 8 & 1; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

/// Appends what `to` makes of `from`: extra characters are new, missing ones are gone after the
/// last character written so far.
void append_changes(std::string_view from, std::string_view to, std::vector<CharChange>& changes) {
  const size_t first = changes.size();
  for (size_t i = 0; i < to.size();) changes.push_back({next_code_point(to, i), 0});
  const auto n_from = static_cast<int32_t>(count_code_points(from));
  const auto n_to = static_cast<int32_t>(changes.size() - first);
  for (int32_t k = n_from; k < n_to; ++k) changes[first + static_cast<size_t>(k)].change = 1;
  if (n_to < n_from && !changes.empty()) changes.back().change += n_to - n_from;
}

}  // namespace

Precompiled::Precompiled(std::string_view map, const std::string& where) {
  uint32_t n_bytes = 0;
  QE_CHECK(map.size() >= sizeof n_bytes, where, ": a character map of ", map.size(),
           " bytes: expected at least 4");
  std::memcpy(&n_bytes, map.data(), sizeof n_bytes);
  map.remove_prefix(sizeof n_bytes);
  QE_CHECK(n_bytes % 4 == 0 && n_bytes > 0 && n_bytes <= map.size(), where,
           ": a character map with a trie of ", n_bytes, " bytes in ", map.size());
  units_.resize(n_bytes / 4);
  std::memcpy(units_.data(), map.data(), n_bytes);
  texts_ = map.substr(n_bytes);
  QE_CHECK(valid_utf8_prefix_length(texts_) == texts_.size(), where,
           ": a character map with texts that are not UTF-8");
  for (size_t c = 1; c < changes_ascii_.size(); ++c) {
    const char key = static_cast<char>(c);
    changes_ascii_[c] = shortest_key({&key, 1}) != kNoKey;
  }
  // The only cluster of several characters.
  changes_ascii_['\r'] = changes_ascii_['\r'] || shortest_key("\r\n") != kNoKey;
}

int32_t Precompiled::shortest_key(std::string_view text) const {
  uint32_t at = offset(units_[0]);
  for (const char c : text) {
    const uint32_t byte = static_cast<unsigned char>(c);
    at ^= byte;
    // The reference does not check; maps of its own making never lead outside.
    if (byte == 0 || at >= units_.size() || label(units_[at]) != byte) return kNoKey;
    const uint32_t unit = units_[at];
    at ^= offset(unit);
    if (!ends_key(unit)) continue;
    if (at >= units_.size()) return kNoKey;
    const uint32_t value = units_[at] & 0x7FFFFFFF;
    // A place inside a character would give invalid text.
    const bool valid =
        value <= texts_.size() &&
        (value == texts_.size() || (static_cast<unsigned char>(texts_[value]) & 0xC0) != 0x80);
    return valid ? static_cast<int32_t>(value) : kNoKey;
  }
  return kNoKey;
}

void Precompiled::normalize(NormalizedText& text) const {
  const std::string_view view = text.text;
  const auto is_plain = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 128 && !changes_ascii_[byte];
  };
  if (std::all_of(view.begin(), view.end(), is_plain)) return;

  static thread_local std::vector<CharChange> changes;
  changes.clear();
  bool modified = false;
  size_t n_added = 0;  // bytes
  const auto replace = [&](std::string_view key) {
    const int32_t at = shortest_key(key);
    if (at == kNoKey) return false;
    const size_t end = std::min(texts_.find('\0', static_cast<size_t>(at)), texts_.size());
    n_added += end - static_cast<size_t>(at);
    text.check_size(n_added);
    append_changes(key, std::string_view(texts_).substr(static_cast<size_t>(at), end - at),
                   changes);
    modified = true;
    return true;
  };
  for (size_t i = 0; i < view.size();) {
    const size_t end = end_of_grapheme(view, i);
    if (end - i < kWholeClusterBelow && replace(view.substr(i, end - i))) {
      i = end;
      continue;
    }
    while (i < end) {
      const size_t begin = i;
      const char32_t c = next_code_point(view, i);
      if (!replace(view.substr(begin, i - begin))) changes.push_back({c, 0});
    }
  }
  if (modified) text.apply(changes);
}

std::string decode_base64(std::string_view text, const std::string& where) {
  const auto value_of = [](char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  QE_CHECK(text.size() % 4 == 0, where, ": base64 of ", text.size(),
           " characters: expected a multiple of 4");
  size_t n_padding = 0;
  while (n_padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++n_padding;
  }
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int n_bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const int value = value_of(text[i]);
    QE_CHECK(value >= 0, where, ": base64 with a bad character at ", i);
    bits = bits << 6 | static_cast<uint32_t>(value);
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    out += static_cast<char>(bits >> n_bits & 0xFF);
  }
  QE_CHECK((bits & ((1u << n_bits) - 1)) == 0, where, ": base64 with stray bits at its end");
  return out;
}

}  // namespace qe
