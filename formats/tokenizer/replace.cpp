// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/replace.h"

#include "kernels/core/error.h"

namespace qe {

size_t Replace::replaced_size(std::string_view text, const std::vector<ByteRange>& matches) const {
  size_t n = text.size();
  for (const ByteRange match : matches) n -= match.end - match.begin;
  return n + matches.size() * content_.size();
}

void Replace::normalize(NormalizedText& text) const {
  static thread_local std::vector<ByteRange> matches;
  static thread_local NormalizedText out;
  matches.clear();
  if (text.text.empty()) return;
  pattern_.find(text.text, matches);
  if (matches.empty()) return;
  text.check_size(replaced_size(text.text, matches));
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

std::string Replace::replaced(std::string_view text, size_t max_bytes) const {
  if (text.empty()) return "";
  std::vector<ByteRange> matches;
  pattern_.find(text, matches);
  QE_CHECK(replaced_size(text, matches) <= max_bytes,
           "the tokenizer's rules make the decoded text too long: more than ", max_bytes, " bytes");
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
