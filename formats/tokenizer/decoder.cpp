// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/decoder.h"

#include <array>

#include "kernels/core/error.h"

namespace qe {
namespace {

struct Replacement {
  std::string_view from, to;
};
// Applied one after the other. The decoder of the `tokenizers` library has one rule more than
// transformers' own function, in this place.
constexpr std::array<Replacement, 7> kCleanupBefore = {{{" .", "."},
                                                        {" ?", "?"},
                                                        {" !", "!"},
                                                        {" ,", ","},
                                                        {" ' ", "'"},
                                                        {" n't", "n't"},
                                                        {" 'm", "'m"}}};
constexpr Replacement kDoNot = {" do not", " don't"};
constexpr std::array<Replacement, 3> kCleanupAfter = {
    {{" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}}};

void replace_all(std::string& text, const Replacement& rule) {
  size_t at = text.find(rule.from);
  if (at == std::string::npos) return;
  std::string out;
  size_t done = 0;
  for (; at != std::string::npos; at = text.find(rule.from, done)) {
    out.append(text, done, at - done);
    out.append(rule.to);
    done = at + rule.from.size();
  }
  out.append(text, done);
  text.swap(out);
}

class SpaceDecoder final : public Decoder {
 public:
  std::string decode(const std::vector<std::string_view>& tokens) const override {
    std::string out;
    for (size_t k = 0; k < tokens.size(); ++k) {
      if (k > 0) out += ' ';
      out += tokens[k];
    }
    return out;
  }
};

}  // namespace

std::unique_ptr<Decoder> make_decoder(const Json& json) {
  if (json.is_null()) return std::make_unique<SpaceDecoder>();
  const Json& type = json.at("type");
  if (type.as_string() == "WordPiece") {
    const Json* prefix = json.find("prefix");
    const Json* cleanup = json.find("cleanup");
    return std::make_unique<WordPieceDecoder>(prefix != nullptr ? prefix->as_string() : "##",
                                              cleanup == nullptr || cleanup->as_bool());
  }
  fail(type.where(), ": decoder type \"", type.as_string(),
       "\" is not supported (expected WordPiece or null)");
}

std::string WordPieceDecoder::decode(const std::vector<std::string_view>& tokens) const {
  std::string out, piece;
  for (size_t k = 0; k < tokens.size(); ++k) {
    std::string_view token = tokens[k];
    const bool continues = k > 0 && token.starts_with(prefix_);
    if (continues) token.remove_prefix(prefix_.size());
    piece.clear();
    if (k > 0 && !continues) piece += ' ';
    piece += token;
    if (cleanup_) {
      for (const Replacement& rule : kCleanupBefore) replace_all(piece, rule);
      replace_all(piece, kDoNot);
      for (const Replacement& rule : kCleanupAfter) replace_all(piece, rule);
    }
    out += piece;
  }
  return out;
}

std::string clean_up_tokenization(std::string text) {
  for (const Replacement& rule : kCleanupBefore) replace_all(text, rule);
  for (const Replacement& rule : kCleanupAfter) replace_all(text, rule);
  return text;
}

}  // namespace qe
