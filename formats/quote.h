// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Text from files inside messages, which are one short line whatever the text holds.

#include <string>
#include <string_view>

namespace qe {

/// Appends `text` escaped as inside a JSON string; invalid bytes become U+FFFD.
void append_escaped(std::string& out, std::string_view text);

/// `text` abbreviated, with control characters escaped and invalid bytes replaced.
std::string printable(std::string_view text, size_t limit);

/// At most `limit` bytes of `text`, cut at a code point and then followed by "...".
std::string abbreviated(std::string_view text, size_t limit);

/// `text` abbreviated, escaped and in quotation marks.
std::string quote(std::string_view text, size_t limit = 100);

}  // namespace qe
