// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/wordpiece.h"

#include <algorithm>
#include <array>

#include "formats/quote.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

// A candidate that ends inside a character is never in the vocabulary, whose tokens are valid
// UTF-8: candidates can shrink byte by byte. The hashes of all prefixes come from one pass.

namespace qe {
namespace {
constexpr size_t kMaxToken = 1024;  // bytes; every prefix of so much text is looked up
}

WordPiece WordPiece::from_json(const Json& json) {
  Options options;
  if (const Json* unk = json.find("unk_token")) options.unk_token = unk->as_string();
  if (const Json* prefix = json.find("continuing_subword_prefix")) {
    options.continuing_subword_prefix = prefix->as_string();
  }
  if (const Json* limit = json.find("max_input_chars_per_word")) {
    options.max_input_chars_per_word = limit->as_int();
    QE_CHECK(options.max_input_chars_per_word >= 0, limit->where(), ": expected at least 0, got ",
             options.max_input_chars_per_word);
  }
  const Json& vocab = json.at("vocab");
  return WordPiece(Vocab::from_json(vocab), options, vocab.where());
}

WordPiece::WordPiece(Vocab vocab, Options options, const std::string& where)
    : vocab_(std::move(vocab)), options_(std::move(options)) {
  const std::optional<int32_t> unk = vocab_.id(options_.unk_token);
  QE_CHECK(unk.has_value(), where, ": the unknown token ", quote(options_.unk_token),
           " is not in the vocabulary");
  unk_id_ = *unk;
  QE_CHECK(vocab_.table().longest() <= kMaxToken, where, ": a token of ", vocab_.table().longest(),
           " bytes: expected at most ", kMaxToken);
  continuations_.reserve(static_cast<size_t>(vocab_.size()) / 4);
  for (int32_t id = 0; id < vocab_.id_end(); ++id) {
    const std::string* token = vocab_.token(id);
    if (token != nullptr && token->starts_with(options_.continuing_subword_prefix)) {
      const size_t n_prefix = options_.continuing_subword_prefix.size();
      continuations_.insert(std::string_view(*token).substr(n_prefix), id);
    }
  }
}

WordToken WordPiece::longest_match(std::string_view word, uint32_t begin) const {
  const StringTable& table = begin == 0 ? vocab_.table() : continuations_;
  const std::string_view rest = word.substr(begin, table.longest());
  size_t length = rest.size();
  std::array<uint32_t, kMaxToken> hashes;  // of the prefixes of 1, 2, ... bytes
  uint64_t state = StringTable::kHashSeed;
  for (size_t k = 0; k < length; ++k) {
    state = StringTable::step(state, rest[k]);
    hashes[k] = StringTable::finish(state);
  }
  for (; length > 0; --length) {
    const int32_t id = table.find(rest.substr(0, length), hashes[length - 1]);
    if (id != StringTable::kNotFound) return {id, begin, begin + static_cast<uint32_t>(length)};
  }
  return {StringTable::kNotFound, begin, begin};
}

void WordPiece::tokenize(std::string_view word, std::vector<WordToken>& out) const {
  const size_t n_before = out.size();
  const auto limit = static_cast<size_t>(options_.max_input_chars_per_word);
  bool known = word.size() <= limit || count_code_points(word) <= options_.max_input_chars_per_word;
  for (uint32_t begin = 0; known && begin < word.size();) {
    const WordToken match = longest_match(word, begin);
    known = match.id != StringTable::kNotFound;
    if (known) out.push_back(match);
    begin = match.end;
  }
  if (known) return;
  out.resize(n_before);
  out.push_back({unk_id_, 0, static_cast<uint32_t>(word.size())});
}

}  // namespace qe
