// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "formats/quote.h"
#include "formats/tokenizer/probing.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

// The queue holds (rank, position) of joins that were possible when they were noted. One that is
// taken out counts if the pair at its position still makes the same token, whatever its rule is by
// then: the reference does it so, and in rare vocabularies that decides.

namespace qe {
namespace {

constexpr char32_t kDirectChars = 0x800;
constexpr size_t kMaxAffix = 1024;

uint64_t pair_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

size_t hash_of(uint64_t pair) { return (pair * 0x9E3779B97F4A7C15ull) >> 24; }

std::string optional_text(const Json& json, const char* key) {
  const Json* member = json.find(key);
  return member == nullptr || member->is_null() ? "" : member->as_string();
}

bool optional_flag(const Json& json, const char* key) {
  const Json* member = json.find(key);
  return member != nullptr && !member->is_null() && member->as_bool();
}

std::pair<std::string, std::string> split_rule(std::string_view rule, const std::string& where) {
  const size_t space = rule.find(' ');
  QE_CHECK(space != std::string_view::npos && rule.find(' ', space + 1) == std::string_view::npos,
           where, ": expected a merge rule of two tokens, got ", quote(rule));
  return {std::string(rule.substr(0, space)), std::string(rule.substr(space + 1))};
}

struct Queued {
  uint32_t rank;
  int32_t position;
  int32_t id;
  bool operator<(const Queued& other) const {  // for a heap with the smallest on top
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

Bpe Bpe::from_json(const Json& json) {
  const Json* dropout = json.find("dropout");
  QE_CHECK(dropout == nullptr || dropout->is_null() || dropout->as_double() == 0, json.where(),
           ": BPE dropout is not supported (expected null)");
  Options options;
  const Json* unk = json.find("unk_token");
  if (unk != nullptr && !unk->is_null()) options.unk_token = unk->as_string();
  options.continuing_subword_prefix = optional_text(json, "continuing_subword_prefix");
  options.end_of_word_suffix = optional_text(json, "end_of_word_suffix");
  options.fuse_unk = optional_flag(json, "fuse_unk");
  options.byte_fallback = optional_flag(json, "byte_fallback");
  options.ignore_merges = optional_flag(json, "ignore_merges");
  Merges merges;
  const Json& rules = json.at("merges");
  for (const Json& rule : rules.items()) {
    if (rule.is_string()) {
      if (rule.as_string().starts_with("#version")) continue;
      merges.push_back(split_rule(rule.as_string(), rule.where()));
      continue;
    }
    QE_CHECK(rule.items().size() == 2, rule.where(), ": expected two tokens, got ",
             rule.items().size());
    merges.emplace_back(rule.items()[0].as_string(), rule.items()[1].as_string());
  }
  return Bpe(Vocab::from_json(json.at("vocab")), merges, std::move(options), rules.where());
}

Bpe::Merges Bpe::read_merges(std::string_view text, const std::string& name) {
  Merges merges;
  int64_t line_number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version") || (line.empty() && text.empty())) continue;
    QE_CHECK(merges.size() < kMaxMerges, name, ": more than ", kMaxMerges, " merge rules");
    merges.push_back(split_rule(line, cat(name, ":", line_number)));
  }
  return merges;
}

Bpe::Bpe(Vocab vocab, const Merges& merges, Options options, const std::string& where)
    : vocab_(std::move(vocab)), options_(std::move(options)) {
  if (options_.unk_token) unk_id_ = vocab_.id(*options_.unk_token);
  const std::string& prefix = options_.continuing_subword_prefix;
  for (const std::string* affix :
       {&options_.continuing_subword_prefix, &options_.end_of_word_suffix}) {
    QE_CHECK(affix->size() <= kMaxAffix, where, ": a prefix or suffix of ", affix->size(),
             " bytes: expected at most ", kMaxAffix);  // it is looked up with every character
  }
  const auto id_of = [&](std::string_view token) {
    const std::optional<int32_t> id = vocab_.id(token);
    QE_CHECK(id.has_value(), where, ": the vocabulary lacks ", quote(token), " of the merge rules");
    return *id;
  };
  merges_.resize(std::bit_ceil(std::max<size_t>(16, 2 * merges.size())));
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    QE_CHECK(right.size() >= prefix.size(), where, ": ", quote(right), " of the merge rules is ",
             "shorter than the prefix ", quote(prefix));
    add_merge({pair_of(id_of(left), id_of(right)), static_cast<uint32_t>(rank),
               id_of(left + right.substr(prefix.size()))});
  }
  for (char32_t c = 0; c < kDirectChars; ++c) {
    char bytes[4];
    const std::string_view text(bytes, static_cast<size_t>(write_utf8(c, bytes)));
    char_ids_.push_back(vocab_.id(text).value_or(-1));
  }
  for (unsigned byte = 0; byte < 256 && options_.byte_fallback; ++byte) {
    char token[8];
    std::snprintf(token, sizeof token, "<0x%02X>", byte);
    byte_ids_.push_back(vocab_.id(token).value_or(-1));
  }
}

void Bpe::add_merge(const Merge& merge) {
  const size_t mask = merges_.size() - 1;
  size_t at = hash_of(merge.pair) & mask;
  for (size_t n = 0; merges_[at].pair != kNoPair && merges_[at].pair != merge.pair;) {
    check_probes(++n);
    at = (at + 1) & mask;
  }
  merges_[at] = merge;  // of equal rules the last one counts
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  const size_t mask = merges_.size() - 1;
  size_t at = hash_of(pair) & mask;
  for (size_t n = 0; n < kMaxProbes; ++n, at = (at + 1) & mask) {
    if (merges_[at].pair == pair) return &merges_[at];
    if (merges_[at].pair == kNoPair) return nullptr;
  }
  return nullptr;
}

std::optional<int32_t> Bpe::char_id(std::string_view c, bool first, bool last) const {
  const bool plain = (first || options_.continuing_subword_prefix.empty()) &&
                     (!last || options_.end_of_word_suffix.empty());
  if (!plain) {
    std::string text = first ? "" : options_.continuing_subword_prefix;
    text += c;
    if (last) text += options_.end_of_word_suffix;
    return vocab_.id(text);
  }
  if (c.size() > 2) return vocab_.id(c);
  size_t at = 0;
  const int32_t id = char_ids_[next_code_point(c, at)];
  return id < 0 ? std::nullopt : std::optional(id);
}

/// Pushes a token for every byte, if there are all.
bool Bpe::push_bytes(std::string_view text, std::vector<Symbol>& symbols) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(text.begin(), text.end(), [&](char c) { return id_of(c) < 0; })) return false;
  for (const char c : text) symbols.push_back({id_of(c), 0, 0, 1});
  return true;
}

void Bpe::split_chars(std::string_view word, std::vector<Symbol>& symbols) const {
  uint32_t unknown = 0;  // bytes of unknown characters that are not yet a symbol
  const auto flush = [&] {
    if (unknown > 0) symbols.push_back({*unk_id_, 0, 0, unknown});
    unknown = 0;
  };
  for (size_t i = 0; i < word.size();) {
    const size_t begin = i;
    next_code_point(word, i);
    const std::string_view c = word.substr(begin, i - begin);
    const bool first = begin == 0, last = i == word.size();
    if (const std::optional<int32_t> id = char_id(c, first, last)) {
      flush();
      symbols.push_back({*id, 0, 0, static_cast<uint32_t>(c.size())});
      continue;
    }
    if (options_.byte_fallback) {
      std::string text = first ? "" : options_.continuing_subword_prefix;
      text += c;
      if (last) text += options_.end_of_word_suffix;
      if (push_bytes(text, symbols)) continue;  // before unknown ones; the reference does so
    }
    if (!options_.unk_token) continue;
    QE_CHECK(unk_id_.has_value(), "the unknown token ", quote(*options_.unk_token),
             " is not in the vocabulary");
    if (!options_.fuse_unk) flush();
    unknown += static_cast<uint32_t>(c.size());
  }
  flush();
}

void Bpe::merge_all(std::vector<Symbol>& symbols) const {
  static thread_local std::vector<Queued> queue;
  queue.clear();
  const auto n = static_cast<int32_t>(symbols.size());
  const auto at = [&](int32_t position) -> Symbol& {
    return symbols[static_cast<size_t>(position)];
  };
  for (int32_t i = 0; i < n; ++i) {
    at(i).previous = i - 1;
    at(i).next = i + 1 < n ? i + 1 : -1;
    if (i + 1 == n) break;
    if (const Merge* merge = find_merge(at(i).id, at(i + 1).id)) {
      queue.push_back({merge->rank, i, merge->id});
    }
  }
  std::make_heap(queue.begin(), queue.end());
  const auto note = [&](int32_t position) {
    const Symbol& left = at(position);
    if (const Merge* merge = find_merge(left.id, at(left.next).id)) {
      queue.push_back({merge->rank, position, merge->id});
      std::push_heap(queue.begin(), queue.end());
    }
  };
  while (!queue.empty()) {
    const Queued top = queue.front();
    std::pop_heap(queue.begin(), queue.end());
    queue.pop_back();
    Symbol& left = at(top.position);
    if (left.length == 0 || left.next < 0) continue;
    Symbol& right = at(left.next);
    const Merge* merge = find_merge(left.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;
    left.id = top.id;
    left.length += right.length;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) at(left.next).previous = top.position;
    if (left.previous >= 0) note(left.previous);
    if (left.next >= 0) note(top.position);
  }
}

void Bpe::tokenize(std::string_view word, std::vector<WordToken>& out) const {
  if (options_.ignore_merges) {
    if (const std::optional<int32_t> id = vocab_.id(word)) {
      out.push_back({*id, 0, static_cast<uint32_t>(word.size())});
      return;
    }
  }
  static thread_local std::vector<Symbol> symbols;
  symbols.clear();
  split_chars(word, symbols);
  merge_all(symbols);
  uint32_t begin = 0;  // dropped characters have no length: the reference's offsets move too
  for (const Symbol& symbol : symbols) {
    if (symbol.length == 0) continue;
    out.push_back({symbol.id, begin, begin + symbol.length});
    begin += symbol.length;
  }
}

}  // namespace qe
