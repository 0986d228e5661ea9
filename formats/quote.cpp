// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/quote.h"

namespace qe {

size_t valid_utf8_prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[i + k]); };
    const unsigned lead = byte(0);
    const size_t length = lead < 0x80    ? 1
                          : lead < 0xC2  ? 0
                          : lead < 0xE0  ? 2
                          : lead < 0xF0  ? 3
                          : lead <= 0xF4 ? 4
                                         : 0;
    if (length == 0 || length > text.size() - i) return i;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(k) & 0xC0) != 0x80) return i;
    }
    if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) >= 0xA0) ||
        (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) >= 0x90)) {
      return i;
    }
    i += length;
  }
  return i;
}

namespace {

/// Appends `text`; where `in_string`, as inside a JSON string.
void append_printable(std::string& out, std::string_view text, bool in_string) {
  static constexpr char kHex[] = "0123456789abcdef";
  static constexpr std::string_view kEscaped = "\b\t\n\f\r", kLetters = "btnfr";
  size_t valid_end = valid_utf8_prefix(text);
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == valid_end) {  // an invalid byte
      out += "\xEF\xBF\xBD";
      valid_end = i + 1 + valid_utf8_prefix(text.substr(i + 1));
      continue;
    }
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x20) {
      if (in_string && (c == '"' || c == '\\')) out += '\\';
      out += c;
    } else if (const size_t at = kEscaped.find(c); at != std::string_view::npos) {
      out += '\\';
      out += kLetters[at];
    } else {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
}

}  // namespace

void append_escaped(std::string& out, std::string_view text) { append_printable(out, text, true); }

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  append_printable(out, abbreviated(text, limit), false);
  return out;
}

std::string abbreviated(std::string_view text, size_t limit) {
  if (text.size() <= limit) return std::string(text);
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return std::string(text.substr(0, limit)) + "...";
}

std::string quote(std::string_view text, size_t limit) {
  std::string out = "\"";
  append_escaped(out, abbreviated(text, limit));
  out += '"';
  return out;
}

}  // namespace qe
