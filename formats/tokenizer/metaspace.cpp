// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/metaspace.h"

#include "formats/quote.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {

Metaspace::Options Metaspace::options(const Json& json) {
  Options options;
  if (const Json* replacement = json.find("replacement")) {
    options.replacement = replacement->as_string();
    size_t end = 0;
    if (!options.replacement.empty()) next_code_point(options.replacement, end);
    QE_CHECK(end > 0 && end == options.replacement.size(), replacement->where(),
             ": expected one character, got ", quote(options.replacement));
  }
  const Json* scheme = json.find("prepend_scheme");
  if (scheme != nullptr) {
    const std::string& name = scheme->as_string();
    QE_CHECK(name == "always" || name == "first" || name == "never", scheme->where(),
             ": expected always, first or never, got ", quote(name));
    options.prepend = name == "always"  ? Prepend::kAlways
                      : name == "first" ? Prepend::kFirst
                                        : Prepend::kNever;
  }
  const Json* prefix = json.find("add_prefix_space");  // before prepend_scheme
  if (prefix != nullptr && !prefix->is_null() && !prefix->as_bool()) {
    QE_CHECK(scheme == nullptr || options.prepend == Prepend::kNever, prefix->where(),
             ": false does not match the prepend_scheme");
    options.prepend = Prepend::kNever;
  }
  const Json* split = json.find("split");
  if (split != nullptr && !split->is_null()) options.split = split->as_bool();
  return options;
}

void Metaspace::split(NormalizedText& text, std::vector<ByteRange>& words) const {
  static thread_local NormalizedText out;
  static thread_local std::vector<ByteRange> pieces;
  pieces.swap(words);
  words.clear();
  out.clear();
  const std::string& mark = options_.replacement;
  for (const ByteRange piece : pieces) {
    const size_t piece_begin = out.text.size();
    const std::string_view view =
        std::string_view(text.text).substr(piece.begin, piece.end - piece.begin);
    const bool prepends =
        options_.prepend == Prepend::kAlways ||
        (options_.prepend == Prepend::kFirst && text.spans[piece.begin].begin == 0);
    if (prepends && view[0] != ' ' && !view.starts_with(mark)) {
      out.append(mark, text.spans[piece.begin]);
    }
    size_t begin = piece_begin;  // of the current word
    for (size_t i = 0; i < view.size();) {
      const bool is_mark = view[i] == ' ' || view.substr(i).starts_with(mark);
      if (is_mark) {
        const size_t at = out.text.size();
        if (options_.split && at > begin) {
          words.push_back({begin, at});
          begin = at;
        }
        out.append(mark, text.spans[piece.begin + i]);
        i += view[i] == ' ' ? 1 : mark.size();
      } else {
        const size_t next = std::min(view.find_first_of(' ', i), view.size());
        size_t end = i + 1;
        while (end < next && !view.substr(end).starts_with(mark)) ++end;
        out.append(text, piece.begin + i, piece.begin + end);
        i = end;
      }
    }
    if (out.text.size() > begin) words.push_back({begin, out.text.size()});
  }
  text.text.swap(out.text);
  text.spans.swap(out.spans);
}

}  // namespace qe
