// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/post_processor.h"

#include <algorithm>

#include "formats/quote.h"
#include "formats/tokenizer/tokenizer.h"
#include "formats/tokenizer/unicode.h"
#include "formats/tokenizer/vocab.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kMaxTemplate = 256;  // items, and ids of special tokens

using Item = PostProcessor::Item;
using IsToken = PostProcessor::IsToken;

Item first_text(int32_t type_id) { return {Item::Kind::kFirst, {}, type_id}; }
Item second_text(int32_t type_id) { return {Item::Kind::kSecond, {}, type_id}; }
Item special(int32_t id, int32_t type_id) { return {Item::Kind::kSpecial, {id}, type_id}; }

int32_t existing_id(const Json& json, const IsToken& is_token) {
  const int32_t id = token_id_from_json(json);
  QE_CHECK(is_token(id), json.where(), ": there is no token of id ", id);
  return id;
}

/// ["[SEP]", 102]
int32_t token_and_id(const Json& json, const IsToken& is_token) {
  QE_CHECK(json.items().size() == 2, json.where(), ": expected [token, id], got ",
           json.items().size(), " items");
  return existing_id(json.items()[1], is_token);
}

std::vector<int32_t> special_ids(const Json& special_tokens, const Json& name,
                                 const IsToken& is_token) {
  const Json* token = special_tokens.find(name.as_string());
  QE_CHECK(token != nullptr, name.where(), ": ", quote(name.as_string()), " is not in ",
           special_tokens.where());
  std::vector<int32_t> ids;
  for (const Json& id : token->at("ids").items()) ids.push_back(existing_id(id, is_token));
  return ids;
}

std::vector<Item> template_items(const Json& json, const Json& special_tokens,
                                 const IsToken& is_token) {
  std::vector<Item> items;
  size_t n = 0;
  for (const Json& piece : json.items()) {
    const Json* sequence = piece.find("Sequence");
    const Json& body = sequence != nullptr ? *sequence : piece.at("SpecialToken");
    const int64_t type_id = body.at("type_id").as_int();
    QE_CHECK(type_id >= 0 && type_id <= INT32_MAX, body.where(), ": type_id ", type_id,
             " is out of range");
    Item item{Item::Kind::kSpecial, {}, static_cast<int32_t>(type_id)};
    const Json& id = body.at("id");
    if (sequence == nullptr) {
      item.ids = special_ids(special_tokens, id, is_token);
    } else {
      QE_CHECK(id.as_string() == "A" || id.as_string() == "B", id.where(),
               ": expected \"A\" or \"B\", got ", quote(id.as_string()));
      item.kind = id.as_string() == "A" ? Item::Kind::kFirst : Item::Kind::kSecond;
    }
    n += 1 + item.ids.size();
    QE_CHECK(n <= kMaxTemplate, json.where(), ": a template of more than ", kMaxTemplate,
             " tokens");
    items.push_back(std::move(item));
  }
  return items;
}

void append(Encoding& out, const TokenSequence& tokens, int32_t type_id) {
  out.ids.insert(out.ids.end(), tokens.ids.begin(), tokens.ids.end());
  out.word_ids.insert(out.word_ids.end(), tokens.word_ids.begin(), tokens.word_ids.end());
  for (const Span& span : tokens.offsets) out.offsets.emplace_back(span.begin, span.end);
  out.type_ids.resize(out.ids.size(), type_id);
  out.special_tokens_mask.resize(out.ids.size(), 0);
}

void append(Encoding& out, const std::vector<int32_t>& specials, int32_t type_id) {
  out.ids.insert(out.ids.end(), specials.begin(), specials.end());
  out.word_ids.resize(out.ids.size(), -1);
  out.offsets.resize(out.ids.size(), {0, 0});
  out.type_ids.resize(out.ids.size(), type_id);
  out.special_tokens_mask.resize(out.ids.size(), 1);
}

}  // namespace

Blanks blanks_of(std::string_view token) {
  constexpr char32_t kByteLevelSpace = 0x120;
  const auto is_space = [](char32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
    return c == kByteLevelSpace || (unicode::CharTable::get().flags(c) & unicode::kWhitespace) != 0;
  };
  Blanks blanks;
  for (size_t at = 0; at < token.size() && is_space(next_code_point(token, at));) {
    ++blanks.leading;
  }
  for (size_t at = token.size(); at > 0 && is_space(previous_code_point(token, at));) {
    ++blanks.trailing;
  }
  return blanks;
}

void TokenSequence::clear() {
  ids.clear();
  offsets.clear();
  word_ids.clear();
  blanks.clear();
}

void TokenSequence::keep(size_t begin, size_t end) {
  const auto cut = [&](auto& values) {
    if (values.empty()) return;
    values.resize(end);
    values.erase(values.begin(), values.begin() + static_cast<ptrdiff_t>(begin));
  };
  cut(ids);
  cut(offsets);
  cut(word_ids);
  cut(blanks);
}

PostProcessor::PostProcessor() : PostProcessor({first_text(0)}, {first_text(0), second_text(1)}) {}

PostProcessor::PostProcessor(std::vector<Item> single, std::vector<Item> pair)
    : single_(std::move(single)), pair_(std::move(pair)) {}

PostProcessor PostProcessor::bert(int32_t cls, int32_t sep) {
  return {{special(cls, 0), first_text(0), special(sep, 0)},
          {special(cls, 0), first_text(0), special(sep, 0), second_text(1), special(sep, 1)}};
}

PostProcessor PostProcessor::roberta(int32_t cls, int32_t sep, bool trim_offsets,
                                     bool add_prefix_space) {
  PostProcessor processor({special(cls, 0), first_text(0), special(sep, 0)},
                          {special(cls, 0), first_text(0), special(sep, 0), special(sep, 0),
                           second_text(0), special(sep, 0)});
  if (trim_offsets) processor.trims_.push_back({add_prefix_space});
  return processor;
}

void PostProcessor::trim(TokenSequence& tokens) const {
  for (const Trim& trim : trims_) {
    for (size_t k = 0; k < tokens.size(); ++k) {
      auto [leading, trailing] = tokens.blanks[k];
      Span& span = tokens.offsets[k];
      // Several spaces were in the text; one may have been added.
      if (leading == 1 && trim.add_prefix_space && (k == 0 || span.begin == 0)) leading = 0;
      if (leading > 0) span.begin = std::min(span.begin + leading, span.end);
      if (trailing > 0 && span.end >= trailing) {
        span.end = std::max(span.end - trailing, span.begin);
      }
    }
  }
}

PostProcessor PostProcessor::from_json(const Json& json, const IsToken& is_token) {
  PostProcessor processor;
  if (!json.is_null()) processor.add(json, is_token);
  return processor;
}

void PostProcessor::add(const Json& json, const IsToken& is_token) {
  const Json& type = json.at("type");
  const std::string& name = type.as_string();
  const auto flag = [&](const char* key) {
    const Json* member = json.find(key);
    return member == nullptr || member->as_bool();
  };
  if (name == "Sequence") {
    for (const Json& part : json.at("processors").items()) add(part, is_token);
    return;
  }
  if (name == "ByteLevel") {
    if (flag("trim_offsets")) trims_.push_back({flag("add_prefix_space")});
    return;
  }
  PostProcessor added;
  if (name == "BertProcessing") {
    added = bert(token_and_id(json.at("cls"), is_token), token_and_id(json.at("sep"), is_token));
  } else if (name == "RobertaProcessing") {
    added = roberta(token_and_id(json.at("cls"), is_token), token_and_id(json.at("sep"), is_token),
                    flag("trim_offsets"), flag("add_prefix_space"));
  } else if (name == "TemplateProcessing") {
    const Json& specials = json.at("special_tokens");
    added.single_ = template_items(json.at("single"), specials, is_token);
    for (const Item& item : added.single_) {
      QE_CHECK(item.kind != Item::Kind::kSecond, json.at("single").where(),
               ": a template for one text names sequence \"B\"");
    }
    added.pair_ = template_items(json.at("pair"), specials, is_token);
  } else {
    fail(type.where(), ": post-processor type ", quote(name),
         " is not supported (expected TemplateProcessing, BertProcessing, RobertaProcessing, "
         "ByteLevel, Sequence or null)");
  }
  QE_CHECK(!adds_tokens_, json.where(), ": a second processor that adds special tokens");
  adds_tokens_ = true;
  single_ = std::move(added.single_);
  pair_ = std::move(added.pair_);
  trims_.insert(trims_.end(), added.trims_.begin(), added.trims_.end());
}

int64_t PostProcessor::n_added(bool pair) const {
  int64_t n = 0;
  for (const Item& item : pair ? pair_ : single_) n += static_cast<int64_t>(item.ids.size());
  return n;
}

void PostProcessor::process(TokenSequence& first, TokenSequence* second, bool add_special_tokens,
                            Encoding& out) const {
  const bool pair = second != nullptr;
  trim(first);
  if (pair) trim(*second);
  const size_t n = first.size() + (pair ? second->size() : 0) + static_cast<size_t>(n_added(pair));
  const auto start_over = [n](auto& values) {
    values.clear();
    values.reserve(n);
  };
  start_over(out.ids);
  start_over(out.type_ids);
  start_over(out.offsets);
  start_over(out.special_tokens_mask);
  start_over(out.word_ids);
  for (const Item& item : pair ? pair_ : single_) {
    if (item.kind == Item::Kind::kFirst) append(out, first, item.type_id);
    if (item.kind == Item::Kind::kSecond) append(out, *second, item.type_id);
    if (item.kind == Item::Kind::kSpecial && add_special_tokens) {
      append(out, item.ids, item.type_id);
    }
  }
}

namespace {

void cut(TokenSequence& tokens, size_t n, TruncationSide side) {
  const size_t size = tokens.size();
  if (n >= size) return;
  if (side == TruncationSide::kRight) {
    tokens.keep(0, n);
  } else {
    tokens.keep(size - n, size);
  }
}

}  // namespace

void truncate(TokenSequence& first, TokenSequence* second, int64_t max_length,
              TruncationStrategy strategy, TruncationSide side) {
  const auto limit = static_cast<size_t>(max_length);
  const size_t total = first.size() + (second != nullptr ? second->size() : 0);
  if (total <= limit) return;
  if (strategy != TruncationStrategy::kLongestFirst && limit > 0) {
    TokenSequence* const target = strategy == TruncationStrategy::kOnlyFirst ? &first : second;
    QE_CHECK(target != nullptr, "truncation: only_second needs a pair");
    const size_t excess = total - limit;
    QE_CHECK(target->size() > excess, "truncation: ", excess,
             " tokens too many, but the text to "
             "be cut has only ",
             target->size());
    return cut(*target, target->size() - excess, side);
  }
  if (second == nullptr) return cut(first, limit, side);
  const bool swapped = first.size() > second->size();
  TokenSequence& shorter = swapped ? *second : first;
  TokenSequence& longer = swapped ? first : *second;
  size_t n_short = shorter.size();
  size_t n_long = n_short > limit ? n_short : std::max(n_short, limit - n_short);
  if (n_short + n_long > limit) {
    n_short = limit / 2;
    n_long = n_short + limit % 2;
  }
  cut(shorter, n_short, side);
  cut(longer, n_long, side);
}

}  // namespace qe
