// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/word_level.h"

#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe {

WordLevel WordLevel::from_json(const Json& json) {
  return WordLevel(Vocab::from_json(json.at("vocab")), json.at("unk_token").as_string());
}

WordLevel::WordLevel(Vocab vocab, std::string unk_token)
    : vocab_(std::move(vocab)), unk_token_(std::move(unk_token)), unk_id_(vocab_.id(unk_token_)) {}

void WordLevel::tokenize(std::string_view word, std::vector<WordToken>& out) const {
  const std::optional<int32_t> known = vocab_.id(word);
  QE_CHECK(known || unk_id_, "the unknown token ", quote(unk_token_), " is not in the vocabulary");
  out.push_back({known ? *known : *unk_id_, 0, static_cast<uint32_t>(word.size())});
}

}  // namespace qe
