// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/vocab_files.h"

#include <algorithm>

#include "formats/mapped_file.h"
#include "formats/quote.h"
#include "formats/tokenizer/bpe.h"
#include "formats/tokenizer/byte_level.h"
#include "formats/tokenizer/sentencepiece_files.h"
#include "formats/tokenizer/split_pretokenizers.h"
#include "formats/tokenizer/unicode.h"
#include "formats/tokenizer/word_level.h"
#include "formats/tokenizer/wordpiece.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

// Model types whose vocabularies have a familiar name and another meaning.
constexpr std::array kOtherModelTypes = {"xlm",        "flaubert", "xlnet",    "fnet",
                                         "rembert",    "roformer", "big_bird", "canine",
                                         "modernbert", "eurobert"};

AddedToken role_token(const SideFiles& side, TokenizerFamily family, TokenRole role) {
  const auto at = static_cast<size_t>(role);
  const std::optional<AddedToken> declared = declared_role(side, at, family);
  return declared ? *declared : usual_role(family, at).value_or(AddedToken{});
}

/// BERT; MPNet likewise with its own special tokens.
void load_wordpiece(TokenizerParts& parts, const std::string& path, const SideFiles& side,
                    TokenizerFamily family) {
  WordPiece::Options model;
  model.unk_token = role_token(side, family, TokenRole::kUnk).content;
  parts.model = std::make_unique<WordPiece>(Vocab::from_lines(path), model, path);
  BertNormalizer::Options normalizer;
  apply_switches(normalizer, side);
  parts.normalizer = std::make_unique<BertNormalizer>(normalizer);
  parts.pretokenizer = std::make_unique<BertPreTokenizer>();
  parts.decoder = std::make_unique<WordPieceDecoder>("##", true);
  const int32_t cls = role_id(parts, side, family, TokenRole::kCls, path);
  const int32_t sep = role_id(parts, side, family, TokenRole::kSep, path);
  parts.post_processor = family == TokenizerFamily::kMpnet
                             ? PostProcessor::roberta(cls, sep, /*trim_offsets=*/true,
                                                      /*add_prefix_space=*/false)
                             : PostProcessor::bert(cls, sep);
}

/// ESM: every entry of the vocabulary is found in the text, all else between white space is
/// unknown. Returns the entries.
std::vector<AddedToken> load_esm(TokenizerParts& parts, const std::string& path,
                                 const SideFiles& side) {
  const TokenizerFamily family = TokenizerFamily::kEsm;
  const auto separates = [](char32_t c) {  // Python's white space
    return (c >= 0x1C && c <= 0x1F) ||
           (unicode::CharTable::get().flags(c) & unicode::kWhitespace) != 0;
  };
  parts.model = std::make_unique<WordLevel>(Vocab::from_lines(path),
                                            role_token(side, family, TokenRole::kUnk).content);
  parts.pretokenizer = std::make_unique<CharPreTokenizer>(separates, SplitBehavior::kRemoved);
  parts.decoder = make_decoder({});
  role_id(parts, side, family, TokenRole::kUnk, path);
  parts.post_processor = PostProcessor::bert(role_id(parts, side, family, TokenRole::kCls, path),
                                             role_id(parts, side, family, TokenRole::kEos, path));
  std::vector<AddedToken> entries;
  for (int32_t id = 0; id < parts.model->vocab().id_end(); ++id) {
    const std::string* token = parts.model->vocab().token(id);
    if (token == nullptr || token->empty()) continue;
    AddedToken entry;
    entry.content = *token;
    entry.normalized = false;
    entries.push_back(entry);
  }
  return entries;
}

Bpe::Merges read_merges(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  const size_t n_valid = valid_utf8_prefix_length(text);
  QE_CHECK(n_valid == text.size(), path, ": invalid UTF-8 at byte ", n_valid);
  return Bpe::read_merges(text, path);
}

/// RoBERTa; DeBERTa likewise with BERT's special tokens.
void load_byte_level(TokenizerParts& parts, const std::string& path, const SideFiles& side,
                     TokenizerFamily family, const std::string& merges_path) {
  parts.model = std::make_unique<Bpe>(Vocab::from_json(Json::parse_file(path)),
                                      read_merges(merges_path), Bpe::Options{}, merges_path);
  const bool add_prefix_space = find_switch(side, "add_prefix_space").value_or(false);
  parts.pretokenizer = std::make_unique<ByteLevelPreTokenizer>(add_prefix_space,
                                                               /*use_regex=*/true);
  parts.decoder = make_decoder(Json::object({{"type", "ByteLevel"}}));
  const int32_t cls = role_id(parts, side, family, TokenRole::kCls, path);
  const int32_t sep = role_id(parts, side, family, TokenRole::kSep, path);
  const bool trim_offsets = find_switch(side, "trim_offsets").value_or(true);
  parts.post_processor = family == TokenizerFamily::kDeberta
                             ? PostProcessor::bert(cls, sep)
                             : PostProcessor::roberta(cls, sep, trim_offsets, add_prefix_space);
}

/// The family by the name of the vocabulary that is there.
TokenizerFamily family_by_file(const std::string& folder, const SideFiles& side) {
  using F = TokenizerFamily;
  for (const F family :
       {F::kBert, F::kRoberta, F::kXlmRoberta, F::kDebertaV2, F::kAlbert, F::kSentencepiece}) {
    const std::string path = folder + "/" + traits_of(family).file;
    if (!file_exists(path)) continue;
    QE_CHECK(side.is_generic(), path, ": a vocabulary of tokenizer class ",
             printable(side.tokenizer_class, 100), " is not supported without tokenizer.json");
    QE_CHECK(std::find(kOtherModelTypes.begin(), kOtherModelTypes.end(), side.model_type) ==
                 kOtherModelTypes.end(),
             path, ": a vocabulary of model type ", printable(side.model_type, 100),
             " is not supported without tokenizer.json");
    return family;
  }
  fail(folder, ": found no tokenizer (tokenizer.json, vocab.txt, vocab.json with merges.txt, ",
       "sentencepiece.bpe.model, spm.model, spiece.model or tokenizer.model)");
}

}  // namespace

void apply_switches(BertNormalizer::Options& options, const SideFiles& side) {
  if (!side.has_switches()) return;
  options.lowercase = find_switch(side, "do_lower_case").value_or(options.lowercase);
  options.handle_chinese_chars =
      find_switch(side, "tokenize_chinese_chars").value_or(options.handle_chinese_chars);
  if (side.config.is_object() && side.config.find("strip_accents") != nullptr) {
    options.strip_accents = find_switch(side, "strip_accents");
  }
}

int32_t role_id(const TokenizerParts& parts, const SideFiles& side, TokenizerFamily family,
                TokenRole role, const std::string& path) {
  const std::string content = role_token(side, family, role).content;
  const std::optional<int32_t> id = parts.model->vocab().id(content);
  QE_CHECK(id.has_value(), path, ": the ", kRoleNames[static_cast<size_t>(role)], " ",
           quote(content), " is not in the vocabulary");
  return *id;
}

LoadedVocab load_vocab_files(TokenizerParts& parts, const std::string& folder,
                             const SideFiles& side) {
  const std::optional<TokenizerFamily> known = family_of(side);
  const TokenizerFamily family = known ? *known : family_by_file(folder, side);
  const std::string path = folder + "/" + traits_of(family).file;
  QE_CHECK(file_exists(path), folder, ": found neither tokenizer.json nor ",
           traits_of(family).file);
  switch (family) {
    case TokenizerFamily::kBert:
    case TokenizerFamily::kMpnet:
      load_wordpiece(parts, path, side, family);
      return {family, {}};
    case TokenizerFamily::kEsm:
      return {family, load_esm(parts, path, side)};
    case TokenizerFamily::kRoberta:
    case TokenizerFamily::kDeberta:
      load_byte_level(parts, path, side, family, folder + "/merges.txt");
      return {family, {}};
    default:
      return {family, load_sentencepiece(parts, path, side, family)};
  }
}

}  // namespace qe
