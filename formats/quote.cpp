// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/quote.h"

#include "formats/utf8.h"

namespace qe {

namespace {

/// Appends `text`; where `in_string`, as inside a JSON string.
void append_printable(std::string& out, std::string_view text, bool in_string) {
  static constexpr char kHex[] = "0123456789abcdef";
  static constexpr std::string_view kEscaped = "\b\t\n\f\r", kLetters = "btnfr";
  size_t valid_end = valid_utf8_prefix_length(text);
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == valid_end) {  // an invalid byte
      out += "\xEF\xBF\xBD";
      valid_end = i + 1 + valid_utf8_prefix_length(text.substr(i + 1));
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
