// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/vocab.h"

#include <algorithm>

#include "formats/mapped_file.h"
#include "formats/quote.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

// Tables are indexed by id: a few tokens must not make them large.
constexpr size_t kFreeIds = size_t{1} << 16;
constexpr size_t kMaxGaps = 4;  // for each token

}  // namespace

int32_t token_id_from_json(const Json& json) {
  const int64_t id = json.as_int();
  QE_CHECK(id >= 0 && id < Vocab::kMaxIds, json.where(), ": expected a token id from 0 to ",
           Vocab::kMaxIds - 1, ", got ", id);
  return static_cast<int32_t>(id);
}

Vocab Vocab::from_json(const Json& json) {
  Vocab vocab;
  const std::vector<Json::Member>& members = json.members();
  int32_t last = -1;
  for (const auto& [token, id] : members) last = std::max(last, token_id_from_json(id));
  const auto limit = static_cast<int64_t>(kFreeIds + kMaxGaps * members.size());
  QE_CHECK(last < limit, json.where(), ": an id of ", last, " in a vocabulary of ", members.size(),
           " tokens: expected less than ", limit);
  vocab.tokens_.resize(static_cast<size_t>(last + 1));
  vocab.present_.resize(static_cast<size_t>(last + 1));
  vocab.table_.reserve(members.size());
  for (const auto& [token, value] : members) {
    const int32_t id = static_cast<int32_t>(value.as_int());
    const size_t at = static_cast<size_t>(id);
    QE_CHECK(!vocab.present_[at], value.where(), ": id ", id, " is already that of ",
             quote(vocab.tokens_[at]));
    vocab.tokens_[at] = token;
    vocab.present_[at] = true;
    vocab.table_.insert(token, id);
  }
  vocab.n_tokens_ = static_cast<int64_t>(vocab.table_.size());
  return vocab;
}

Vocab Vocab::from_lines(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  QE_CHECK(!text.empty(), path, ": expected one token per line, the file is empty");
  const size_t n_valid = valid_utf8_prefix_length(text);
  QE_CHECK(n_valid == text.size(), path, ": invalid UTF-8 at byte ", n_valid, ", line ",
           1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(n_valid), '\n'));
  Vocab vocab;
  for (size_t i = 0; i < text.size();) {
    const size_t end = std::min(text.find_first_of("\r\n", i), text.size());
    const int32_t id = static_cast<int32_t>(vocab.tokens_.size());
    QE_CHECK(id < kMaxIds, path, ": more than ", kMaxIds, " lines");
    vocab.tokens_.emplace_back(text.substr(i, end - i));
    vocab.present_.push_back(true);
    const int32_t before = vocab.table_.insert(vocab.tokens_.back(), id);
    if (before != StringTable::kNotFound) {
      vocab.tokens_[static_cast<size_t>(before)].clear();
      vocab.present_[static_cast<size_t>(before)] = false;
    }
    i = end + (text.substr(end, 2) == "\r\n" ? 2 : 1);
  }
  vocab.n_tokens_ = static_cast<int64_t>(vocab.table_.size());
  return vocab;
}

Vocab Vocab::from_pieces(const std::vector<std::pair<std::string, double>>& pieces,
                         const std::string& where) {
  QE_CHECK(static_cast<int64_t>(pieces.size()) <= kMaxIds, where, ": more than ", kMaxIds,
           " pieces");
  Vocab vocab;
  vocab.table_.reserve(pieces.size());
  for (const auto& [piece, score] : pieces) {
    vocab.table_.insert(piece, static_cast<int32_t>(vocab.tokens_.size()));
    vocab.tokens_.push_back(piece);
  }
  vocab.present_.assign(pieces.size(), true);
  vocab.n_tokens_ = static_cast<int64_t>(pieces.size());
  return vocab;
}

std::optional<int32_t> Vocab::id(std::string_view token) const {
  const int32_t id = table_.find(token);
  return id == StringTable::kNotFound ? std::nullopt : std::optional(id);
}

const std::string* Vocab::token(int32_t id) const {
  const size_t at = static_cast<size_t>(id);
  return id >= 0 && at < tokens_.size() && present_[at] ? &tokens_[at] : nullptr;
}

}  // namespace qe
