// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/normalized_text.h"

namespace qe {

void NormalizedText::assign(std::string_view piece, int32_t first) {
  text.assign(piece);
  spans.resize(piece.size());
  int32_t next = first;
  for (size_t i = 0; i < piece.size(); ++i) {
    if ((static_cast<unsigned char>(piece[i]) & 0xC0) != 0x80) ++next;
    spans[i] = {next - 1, next};
  }
}

}  // namespace qe
