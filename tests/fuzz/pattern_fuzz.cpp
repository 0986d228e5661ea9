// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A regular expression of a tokenizer file, then its matches in a text.

#include "formats/tokenizer/pattern.h"
#include "formats/utf8.h"
#include "tests/fuzz/support.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  const std::string expression(input.part());
  int64_t n_replaced = 0;
  const std::string text = replace_invalid_utf8(input.rest().substr(0, 1000), n_replaced);
  fuzz::succeeds([&] {
    const Pattern pattern = Pattern::regex(expression, "input");
    std::vector<ByteRange> matches;
    pattern.find(text, matches);
    size_t end = 0;
    for (const ByteRange match : matches) {
      fuzz::require(end <= match.begin && match.begin <= match.end && match.end <= text.size(),
                    "matches overlap");
      const auto is_boundary = [&](size_t at) {
        return at == text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
      };
      fuzz::require(is_boundary(match.begin) && is_boundary(match.end), "a cut character");
      end = match.end;
    }
  });
  return 0;
}
