// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// One request of `tokenize --jsonl` or `tokenize --decode` as text: a JSON object in, a JSON object
// out.

#include <string>
#include <string_view>

#include "formats/tokenizer/tokenizer.h"

namespace qe {

/// {"text", "pair"?, "max_length"?, "truncation"?, "truncation_side"?, "add_special_tokens"?} ->
/// {"ids", "type_ids", "tokens", "offsets", "special_tokens_mask", "word_ids"}, without a newline.
/// truncation: "longest_first" (default), "only_first" or "only_second"; truncation_side: "right"
/// or "left" (default: the tokenizer's). word_ids is null for special tokens. `name` stands for the
/// line in errors. Error on unknown members.
std::string tokenize_json_line(const Tokenizer& tokenizer, std::string_view line,
                               const std::string& name);

/// {"ids", "skip_special_tokens"?} -> {"text"}. Unknown ids are an error.
std::string decode_json_line(const Tokenizer& tokenizer, std::string_view line,
                             const std::string& name);

}  // namespace qe
