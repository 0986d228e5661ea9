// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/added_tokens.h"

#include <algorithm>

#include "formats/quote.h"
#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {

AddedToken added_token_from_json(const Json& json, bool special) {
  AddedToken token;
  if (json.is_string()) {
    token.content = json.as_string();
    token.normalized = false;
    token.special = true;
    return token;
  }
  const auto flag = [&](const char* key, bool fallback) {
    const Json* member = json.find(key);
    return member == nullptr ? fallback : member->as_bool();
  };
  token.content = json.at("content").as_string();
  token.single_word = flag("single_word", false);
  token.lstrip = flag("lstrip", false);
  token.rstrip = flag("rstrip", false);
  token.special = flag("special", special);
  token.normalized = flag("normalized", !token.special);
  return token;
}

void AddedTokenMatcher::add(std::string_view pattern, int32_t id, const AddedToken& token) {
  bool known = pattern.empty();
  patterns_.prefixes(pattern, [&](size_t length, int32_t) { known |= length == pattern.size(); });
  if (known) return;
  patterns_.insert(pattern, static_cast<int32_t>(entries_.size()));
  entries_.push_back({id, token.single_word, token.lstrip, token.rstrip});
}

void AddedTokenMatcher::split(std::string_view text, std::vector<Piece>& pieces) const {
  pieces.clear();
  const unicode::CharTable& table = unicode::CharTable::get();
  const auto is = [&](uint16_t flag, char32_t c) { return (table.flags(c) & flag) != 0; };
  size_t covered = 0;
  for (size_t i = 0; !entries_.empty() && i < text.size();) {
    if (!patterns_.has_key_from(text[i])) {
      ++i;
      continue;
    }
    size_t begin = i, end = i, found = 0;
    patterns_.prefixes(text.substr(i), [&](size_t length, int32_t entry) {
      end = begin + length;
      found = static_cast<size_t>(entry);
    });
    if (end == begin) {
      ++i;
      continue;
    }
    // A match refused here still uses up its text: no shorter token is tried inside it.
    i = end;
    const Entry& entry = entries_[found];
    if (entry.single_word) {
      size_t left = begin, right = end;
      if (left > 0 && is(unicode::kWord, previous_code_point(text, left))) continue;
      if (right < text.size() && is(unicode::kWord, next_code_point(text, right))) continue;
    }
    if (entry.lstrip) {
      for (size_t at = begin; at > covered; begin = at) {
        if (!is(unicode::kWhitespace, previous_code_point(text, at))) break;
      }
    }
    if (entry.rstrip) {
      for (size_t at = end; at < text.size(); end = at) {
        if (!is(unicode::kWhitespace, next_code_point(text, at))) break;
      }
    }
    begin = std::max(begin, covered);
    if (begin >= end) continue;
    if (covered < begin) pieces.push_back({covered, begin});
    pieces.push_back({begin, end, entry.id});
    covered = end;
  }
  if (covered < text.size()) pieces.push_back({covered, text.size()});
}

int32_t AddedVocab::add(const AddedToken& token, const Vocab& vocab) {
  const std::optional<int32_t> known = id(token.content);
  const std::optional<int32_t> in_model = vocab.id(token.content);
  int32_t new_id;
  if (known || in_model) {
    new_id = known ? *known : *in_model;
  } else {
    const int64_t above = by_id_.empty() ? 0 : int64_t{by_id_.rbegin()->first} + 1;
    const int64_t next = std::max(vocab.size(), above);
    QE_CHECK(next < Vocab::kMaxIds, "added token ", quote(token.content), ": more than ",
             Vocab::kMaxIds, " tokens");
    new_id = static_cast<int32_t>(next);
    const std::string* taken = vocab.token(new_id);
    QE_CHECK(taken == nullptr, "added token ", quote(token.content), " would get id ", new_id,
             ", which is that of ", quote(*taken));
    ++n_new_;
  }
  ids_.insert(token.content, new_id);
  if (token.special) special_contents_.insert(token.content, new_id);
  by_id_[new_id] = token;
  return new_id;
}

void AddedVocab::finish(const Normalizer* normalizer) {
  for (const auto& [id, token] : by_id_) {
    if (!token.normalized) {
      raw_.add(token.content, id, token);
      continue;
    }
    NormalizedText text;
    text.assign(token.content, 0);
    if (normalizer != nullptr) normalizer->normalize(text);
    normalized_.add(text.text, id, token);
    if (text.text != token.content) patterns_[id] = text.text;
  }
}

const AddedToken* AddedVocab::find(int32_t id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : &at->second;
}

std::optional<int32_t> AddedVocab::id(std::string_view content) const {
  const int32_t id = ids_.find(content);
  return id == StringTable::kNotFound ? std::nullopt : std::optional(id);
}

const std::string* AddedVocab::decoded(int32_t id) const {
  if (const auto at = patterns_.find(id); at != patterns_.end()) return &at->second;
  const AddedToken* token = find(id);
  return token == nullptr ? nullptr : &token->content;
}

}  // namespace qe
