// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A precompiled character map, as bytes and as base64, then text through it.

#include "formats/tokenizer/precompiled.h"
#include "formats/utf8.h"
#include "tests/fuzz/support.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  const bool is_base64 = input.byte() & 1;
  const auto n_text = std::min<size_t>(input.byte(), input.rest().size());
  int64_t n_replaced = 0;
  const std::string piece = replace_invalid_utf8(input.rest().substr(0, n_text), n_replaced);
  std::string map(input.rest().substr(n_text));
  fuzz::succeeds([&] {
    if (is_base64) map = decode_base64(map, "input");
    const Precompiled normalizer(map, "input");
    NormalizedText text;
    text.assign(piece, 3);
    normalizer.normalize(text);
    fuzz::require(valid_utf8_prefix_length(text.text) == text.text.size(), "invalid UTF-8");
    fuzz::require(text.spans.size() == text.text.size(), "a span for each byte");
    const auto end = static_cast<int32_t>(3 + count_code_points(piece));
    for (const Span& span : text.spans) {
      fuzz::require(3 <= span.begin && span.begin <= span.end && span.end <= end, "a bad span");
    }
  });
  return 0;
}
