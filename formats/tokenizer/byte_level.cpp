// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/byte_level.h"

#include "formats/utf8.h"

namespace qe {
namespace {

bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

}  // namespace

const std::array<char32_t, 256>& byte_level_chars() {
  static const std::array<char32_t, 256> chars = [] {
    std::array<char32_t, 256> list;
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      list[static_cast<size_t>(byte)] = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
    }
    return list;
  }();
  return chars;
}

std::optional<unsigned char> byte_of_char(char32_t c) {
  static const std::array<int16_t, 0x144> bytes = [] {
    std::array<int16_t, 0x144> list;
    list.fill(-1);
    for (size_t byte = 0; byte < 256; ++byte) {
      list[byte_level_chars()[byte]] = static_cast<int16_t>(byte);
    }
    return list;
  }();
  if (c >= bytes.size() || bytes[c] < 0) return std::nullopt;
  return static_cast<unsigned char>(bytes[c]);
}

void append_byte_level(const NormalizedText& text, size_t begin, size_t end, NormalizedText& out) {
  const std::array<char32_t, 256>& chars = byte_level_chars();
  const size_t first = out.text.size();
  out.text.resize(first + 2 * (end - begin));
  out.spans.resize(first + 2 * (end - begin));
  char* to = out.text.data() + first;
  Span* span = out.spans.data() + first;
  for (size_t i = begin; i < end; ++i) {
    const char32_t c = chars[static_cast<unsigned char>(text.text[i])];
    const int n = write_utf8(c, to);  // at most 2
    to += n;
    span[0] = text.spans[i];
    if (n == 2) span[1] = text.spans[i];
    span += n;
  }
  const auto size = static_cast<size_t>(to - out.text.data());
  out.text.resize(size);
  out.spans.resize(size);
}

void ByteLevelPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  static thread_local NormalizedText out, spaced;
  static thread_local std::vector<ByteRange> pieces, parts;
  pieces.swap(words);
  words.clear();
  out.clear();
  for (const ByteRange piece : pieces) {
    const NormalizedText* source = &text;
    ByteRange range = piece;
    if (add_prefix_space_ && text.text[piece.begin] != ' ') {
      spaced.clear();
      spaced.append(" ", text.spans[piece.begin]);
      spaced.append(text, piece.begin, piece.end);
      source = &spaced;
      range = {0, spaced.text.size()};
    }
    parts.clear();
    if (use_regex_) {
      split_gpt2(source->text, range, parts);
    } else {
      parts.push_back(range);
    }
    for (const ByteRange part : parts) {
      const size_t begin = out.text.size();
      append_byte_level(*source, part.begin, part.end, out);
      words.push_back({begin, out.text.size()});
    }
  }
  text.text.swap(out.text);
  text.spans.swap(out.spans);
}

}  // namespace qe
