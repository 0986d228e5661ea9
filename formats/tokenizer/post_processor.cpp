// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/post_processor.h"

#include <algorithm>

#include "formats/tokenizer/tokenizer.h"
#include "formats/tokenizer/unicode.h"
#include "formats/tokenizer/utf8.h"
#include "formats/tokenizer/vocab.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

using Item = PostProcessor::Item;
using IsToken = std::function<bool(int32_t)>;

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
  QE_CHECK(token != nullptr, name.where(), ": \"", name.as_string(), "\" is not in ",
           special_tokens.where());
  std::vector<int32_t> ids;
  for (const Json& id : token->at("ids").items()) ids.push_back(existing_id(id, is_token));
  return ids;
}

std::vector<Item> template_items(const Json& json, const Json& special_tokens,
                                 const IsToken& is_token) {
  std::vector<Item> items;
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
               ": expected \"A\" or \"B\", got \"", id.as_string(), "\"");
      item.kind = id.as_string() == "A" ? Item::Kind::kFirst : Item::Kind::kSecond;
    }
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

void TokenSequence::truncate(size_t n) {
  if (n >= ids.size()) return;
  ids.resize(n);
  offsets.resize(n);
  word_ids.resize(n);
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
  processor.trim_offsets_ = trim_offsets;
  processor.add_prefix_space_ = add_prefix_space;
  return processor;
}

Span PostProcessor::trimmed(Span span, std::string_view value, bool is_first) const {
  if (!trim_offsets_) return span;
  const unicode::CharTable& table = unicode::CharTable::get();
  const auto is_space = [&](char32_t c) { return (table.flags(c) & unicode::kWhitespace) != 0; };
  int32_t n_leading = 0, n_trailing = 0;
  for (size_t at = 0; at < value.size() && is_space(next_code_point(value, at));) ++n_leading;
  for (size_t at = value.size(); at > 0 && is_space(previous_code_point(value, at));) ++n_trailing;
  if (n_leading > 0 && add_prefix_space_ && (is_first || span.begin == 0)) --n_leading;
  span.begin = std::min(span.begin + n_leading, span.end);
  span.end = std::max(span.end - n_trailing, span.begin);
  return span;
}

PostProcessor PostProcessor::from_json(const Json& json, const IsToken& is_token) {
  if (json.is_null()) return {};
  const Json& type = json.at("type");
  if (type.as_string() == "BertProcessing") {
    return bert(token_and_id(json.at("cls"), is_token), token_and_id(json.at("sep"), is_token));
  }
  if (type.as_string() == "RobertaProcessing") {
    const Json* trim = json.find("trim_offsets");
    const Json* prefix = json.find("add_prefix_space");
    return roberta(token_and_id(json.at("cls"), is_token), token_and_id(json.at("sep"), is_token),
                   trim == nullptr || trim->as_bool(), prefix == nullptr || prefix->as_bool());
  }
  if (type.as_string() == "TemplateProcessing") {
    const Json& specials = json.at("special_tokens");
    std::vector<Item> single = template_items(json.at("single"), specials, is_token);
    for (const Item& item : single) {
      QE_CHECK(item.kind != Item::Kind::kSecond, json.at("single").where(),
               ": a template for one text names sequence \"B\"");
    }
    return {std::move(single), template_items(json.at("pair"), specials, is_token)};
  }
  fail(type.where(), ": post-processor type \"", type.as_string(),
       "\" is not supported (expected TemplateProcessing, BertProcessing, RobertaProcessing or "
       "null)");
}

int64_t PostProcessor::n_added(bool pair) const {
  int64_t n = 0;
  for (const Item& item : pair ? pair_ : single_) n += static_cast<int64_t>(item.ids.size());
  return n;
}

Encoding PostProcessor::process(const TokenSequence& first, const TokenSequence* second,
                                bool add_special_tokens) const {
  const bool pair = second != nullptr;
  const size_t n = first.size() + (pair ? second->size() : 0) + static_cast<size_t>(n_added(pair));
  Encoding out;
  out.ids.reserve(n);
  out.type_ids.reserve(n);
  out.offsets.reserve(n);
  out.special_tokens_mask.reserve(n);
  out.word_ids.reserve(n);
  for (const Item& item : pair ? pair_ : single_) {
    if (item.kind == Item::Kind::kFirst) append(out, first, item.type_id);
    if (item.kind == Item::Kind::kSecond) append(out, *second, item.type_id);
    if (item.kind == Item::Kind::kSpecial && add_special_tokens) {
      append(out, item.ids, item.type_id);
    }
  }
  return out;
}

void truncate_longest_first(TokenSequence& first, TokenSequence* second, int64_t max_length) {
  const auto limit = static_cast<size_t>(max_length);
  if (second == nullptr) return first.truncate(limit);
  if (first.size() + second->size() <= limit) return;
  const bool swapped = first.size() > second->size();
  TokenSequence& shorter = swapped ? *second : first;
  TokenSequence& longer = swapped ? first : *second;
  size_t n_short = shorter.size();
  size_t n_long = n_short > limit ? n_short : std::max(n_short, limit - n_short);
  if (n_short + n_long > limit) {
    n_short = limit / 2;
    n_long = n_short + limit % 2;
  }
  shorter.truncate(n_short);
  longer.truncate(n_long);
}

}  // namespace qe
