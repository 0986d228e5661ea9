// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/replace.h"

namespace qe {

void Replace::normalize(NormalizedText& text) const {
  static thread_local std::vector<ByteRange> matches;
  static thread_local NormalizedText out;
  matches.clear();
  if (text.text.empty()) return;
  pattern_.find(text.text, matches);
  if (matches.empty()) return;
  out.clear();
  size_t done = 0;
  for (const ByteRange match : matches) {
    out.append(text, done, match.begin);
    const Span before_all{text.origin, text.origin};
    out.append(content_, match.end > 0 ? text.spans[match.end - 1] : before_all);
    done = match.end;
  }
  out.append(text, done, text.text.size());
  text.text.swap(out.text);
  text.spans.swap(out.spans);
}

std::string Replace::replaced(std::string_view text) const {
  if (text.empty()) return "";
  std::vector<ByteRange> matches;
  pattern_.find(text, matches);
  std::string out;
  size_t done = 0;
  for (const ByteRange match : matches) {
    out += text.substr(done, match.begin - done);
    out += content_;
    done = match.end;
  }
  out += text.substr(done);
  return out;
}

}  // namespace qe
