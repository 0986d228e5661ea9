// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "formats/quote.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {
constexpr double kUnknownPenalty = 10;
}

Unigram Unigram::from_json(const Json& json) {
  Pieces pieces;
  const Json& vocab = json.at("vocab");
  pieces.reserve(vocab.items().size());
  for (const Json& item : vocab.items()) {
    QE_CHECK(item.items().size() == 2, item.where(), ": expected [piece, score], got ",
             item.items().size(), " items");
    pieces.emplace_back(item.items()[0].as_string(), item.items()[1].as_double());
  }
  const Json* unk = json.find("unk_id");
  std::optional<int32_t> unk_id;
  if (unk != nullptr && !unk->is_null()) unk_id = token_id_from_json(*unk);
  const Json* fallback = json.find("byte_fallback");
  return Unigram(pieces, unk_id, fallback != nullptr && !fallback->is_null() && fallback->as_bool(),
                 vocab.where());
}

Unigram::Unigram(const Pieces& pieces, std::optional<int32_t> unk_id, bool byte_fallback,
                 const std::string& where)
    : vocab_(Vocab::from_pieces(pieces, where)), unk_id_(unk_id) {
  QE_CHECK(!unk_id || *unk_id < static_cast<int64_t>(pieces.size()), where, ": unk_id ", *unk_id,
           " is outside the vocabulary of ", pieces.size());
  double lowest = std::numeric_limits<double>::infinity();
  for (size_t id = 0; id < pieces.size(); ++id) {
    const auto& [piece, score] = pieces[id];
    QE_CHECK(std::isfinite(score), where, ": the score of ", quote(piece), " is not finite");
    scores_.push_back(score);
    lowest = std::min(lowest, score);
    if (!piece.empty()) trie_.insert(piece, static_cast<int32_t>(id));
  }
  unk_score_ = lowest - kUnknownPenalty;
  for (unsigned byte = 0; byte < 256 && byte_fallback; ++byte) {
    char token[8];
    std::snprintf(token, sizeof token, "<0x%02X>", byte);
    byte_ids_.push_back(vocab_.id(token).value_or(-1));
  }
}

std::string_view Unigram::unk_token() const {
  return unk_id_ ? std::string_view(*vocab_.token(*unk_id_)) : std::string_view();
}

void Unigram::find_best(std::string_view word, std::vector<Node>& nodes) const {
  nodes.assign(word.size() + 1, {0, -1, 0});
  for (size_t begin = 0; begin < word.size();) {
    const double score = nodes[begin].score;
    const auto reach = [&](size_t end, double candidate, int32_t id) {
      Node& node = nodes[end];
      if (node.begin >= 0 && !(candidate > node.score)) return;
      node = {candidate, static_cast<int32_t>(begin), id};
    };
    size_t next = begin;
    next_code_point(word, next);
    bool has_char = false;
    trie_.prefixes(word.substr(begin), [&](size_t length, int32_t id) {
      reach(begin + length, scores_[static_cast<size_t>(id)] + score, id);
      has_char |= length == next - begin;
    });
    if (!has_char) {
      QE_CHECK(unk_id_.has_value(),
               "the text has characters outside the vocabulary, which has no "
               "unk_id");
      reach(next, unk_score_ + score, *unk_id_);
    }
    begin = next;
  }
}

void Unigram::push_unknown(std::string_view text, uint32_t begin,
                           std::vector<WordToken>& out) const {
  const auto end = begin + static_cast<uint32_t>(text.size());
  if (const std::optional<int32_t> id = vocab_.id(text)) {
    out.push_back({*id, begin, end});
    return;
  }
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (!byte_ids_.empty() &&
      std::all_of(text.begin(), text.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : text) out.push_back({byte_id(c), begin, end});
    return;
  }
  out.push_back({*unk_id_, begin, end});
}

void Unigram::tokenize(std::string_view word, std::vector<WordToken>& out) const {
  static thread_local std::vector<Node> nodes;
  static thread_local std::vector<WordToken> path;  // from the end
  find_best(word, nodes);
  path.clear();
  for (auto end = static_cast<int32_t>(word.size()); end > 0;) {
    const Node& node = nodes[static_cast<size_t>(end)];
    path.push_back({node.id, static_cast<uint32_t>(node.begin), static_cast<uint32_t>(end)});
    end = node.begin;
  }
  for (size_t k = path.size(); k-- > 0;) {
    WordToken token = path[k];
    if (!unk_id_ || token.id != *unk_id_) {
      out.push_back(token);
      continue;
    }
    while (k > 0 && path[k - 1].id == *unk_id_) token.end = path[--k].end;
    push_unknown(word.substr(token.begin, token.end - token.begin), token.begin, out);
  }
}

}  // namespace qe
