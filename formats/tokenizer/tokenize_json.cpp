// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/tokenize_json.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "formats/json.h"
#include "formats/quote.h"
#include "formats/tokenizer/vocab.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

Json parse_request(std::string_view line, const std::string& name,
                   std::initializer_list<std::string_view> keys) {
  Json request = Json::parse(line, name);
  for (const auto& [key, value] : request.members()) {
    QE_CHECK(std::find(keys.begin(), keys.end(), key) != keys.end(), value.where(),
             ": unknown member");
  }
  return request;
}

/// The entry of a table that a member names, if it is there.
template <class Value, size_t n>
std::optional<Value> chosen(const Json& request, const char* key,
                            const std::pair<const char*, Value> (&table)[n]) {
  const Json* member = request.find(key);
  if (member == nullptr) return std::nullopt;
  std::string known;
  for (const auto& [name, value] : table) {
    if (member->as_string() == name) return value;
    known += cat(known.empty() ? "" : ", ", name);
  }
  fail(member->where(), ": expected one of ", known, ", got ", quote(member->as_string()));
}

Tokenizer::EncodeOptions options_of(const Json& request) {
  using Strategy = TruncationStrategy;
  Tokenizer::EncodeOptions options;
  if (const Json* value = request.find("max_length")) options.max_length = value->as_int();
  if (const Json* value = request.find("add_special_tokens")) {
    options.add_special_tokens = value->as_bool();
  }
  const auto strategy = chosen<Strategy>(request, "truncation",
                                         {{"longest_first", Strategy::kLongestFirst},
                                          {"only_first", Strategy::kOnlyFirst},
                                          {"only_second", Strategy::kOnlySecond}});
  if (strategy) options.truncation = *strategy;
  options.truncation_side =
      chosen<TruncationSide>(request, "truncation_side",
                             {{"right", TruncationSide::kRight}, {"left", TruncationSide::kLeft}});
  return options;
}

template <class Values>
Json numbers(const Values& values) {
  Json list = Json::array();
  for (const auto value : values) list.push_back(Json(int64_t{value}));
  return list;
}

}  // namespace

std::string tokenize_json_line(const Tokenizer& tokenizer, std::string_view line,
                               const std::string& name) {
  const Json request = parse_request(
      line, name,
      {"text", "pair", "max_length", "truncation", "truncation_side", "add_special_tokens"});
  const Tokenizer::EncodeOptions options = options_of(request);
  const std::string& text = request.at("text").as_string();
  const Json* pair = request.find("pair");
  const bool single = pair == nullptr || pair->is_null();
  const Encoding encoding = single ? tokenizer.encode(text, options)
                                   : tokenizer.encode_pair(text, pair->as_string(), options);

  Json tokens = Json::array(), offsets = Json::array(), words = Json::array();
  for (size_t k = 0; k < encoding.ids.size(); ++k) {
    tokens.push_back(Json(tokenizer.token(encoding.ids[k])));
    const auto [begin, end] = encoding.offsets[k];
    offsets.push_back(Json::array({Json(begin), Json(end)}));
    const int32_t word = encoding.word_ids[k];
    words.push_back(word < 0 ? Json() : Json(word));
  }
  return Json::object({{"ids", numbers(encoding.ids)},
                       {"type_ids", numbers(encoding.type_ids)},
                       {"tokens", std::move(tokens)},
                       {"offsets", std::move(offsets)},
                       {"special_tokens_mask", numbers(encoding.special_tokens_mask)},
                       {"word_ids", std::move(words)}})
      .dump();
}

std::string decode_json_line(const Tokenizer& tokenizer, std::string_view line,
                             const std::string& name) {
  const Json request = parse_request(line, name, {"ids", "skip_special_tokens"});
  std::vector<int32_t> ids;
  for (const Json& item : request.at("ids").items()) {
    ids.push_back(token_id_from_json(item));
    tokenizer.token(ids.back());
  }
  const Json* skip = request.find("skip_special_tokens");
  const bool skip_special_tokens = skip != nullptr && skip->as_bool();
  return Json::object({{"text", Json(tokenizer.decode(ids, skip_special_tokens))}}).dump();
}

}  // namespace qe
