// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/sentencepiece_files.h"

#include <algorithm>
#include <cctype>
#include <tuple>

#include "formats/tokenizer/char_normalizers.h"
#include "formats/tokenizer/metaspace.h"
#include "formats/tokenizer/normal_forms.h"
#include "formats/tokenizer/precompiled.h"
#include "formats/tokenizer/replace.h"
#include "formats/tokenizer/string_table.h"
#include "formats/tokenizer/unicode.h"
#include "formats/tokenizer/unigram.h"
#include "formats/tokenizer/vocab_files.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

using Family = TokenizerFamily;
using PieceType = SentencepieceModel::PieceType;
using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

constexpr const char* kMark = "\u2581";
constexpr size_t kMaxMergedBytes = 256;
constexpr size_t kMaxPatternBytes = size_t{1} << 18;

/// The model's pieces with the ids of the family, and the id of the unknown one.
struct Numbering {
  Unigram::Pieces pieces;
  int32_t unk_id;
};

/// ALBERT makes numbers with a comma unlikely ("1,").
bool ends_in_digit_and_comma(std::string_view piece) {
  if (!piece.ends_with(',') || piece.size() < 2) return false;
  size_t at = piece.size() - 1;
  return unicode::CharTable::get().flags(previous_code_point(piece, at)) & unicode::kNumeric;
}

Numbering number_pieces(const SentencepieceModel& model, Family family, const std::string& name) {
  Numbering out{{}, model.unk_id};
  size_t skipped = 0;  // pieces that others stand for
  if (family == Family::kXlmRoberta) {
    out = {{{"<s>", 0.0}, {"<pad>", 0.0}, {"</s>", 0.0}, {"<unk>", 0.0}}, 3};
    skipped = 3;
  }
  if (family == Family::kCamembert) {
    out = {{{"<s>NOTUSED", 0.0},
            {"<pad>", 0.0},
            {"</s>NOTUSED", 0.0},
            {"<unk>", 0.0},
            {"<unk>NOTUSED", -100.0}},
           3};
    skipped = 1;
  }
  QE_CHECK(skipped < model.pieces.size(), name, ": expected more than ", skipped, " pieces, found ",
           model.pieces.size());
  out.pieces.reserve(out.pieces.size() + model.pieces.size() + 1);
  for (size_t k = skipped; k < model.pieces.size(); ++k) {
    const SentencepieceModel::Piece& piece = model.pieces[k];
    const bool unlikely = family == Family::kAlbert && ends_in_digit_and_comma(piece.text);
    out.pieces.emplace_back(piece.text, double{piece.score} - (unlikely ? 100 : 0));
  }
  if (skipped > 0) out.pieces.emplace_back("<mask>", 0.0);
  return out;
}

std::unique_ptr<Model> make_piece_model(const SentencepieceModel& model, Family family,
                                        const std::string& name) {
  using Type = SentencepieceModel::ModelType;
  QE_CHECK(model.model_type == Type::kUnigram || model.model_type == Type::kBpe, name,
           ": a sentencepiece model of words or characters is not supported (expected unigram or "
           "BPE)");
  Numbering numbering = number_pieces(model, family, name);
  if (model.model_type == Type::kUnigram) {
    return std::make_unique<Unigram>(numbering.pieces, numbering.unk_id, model.byte_fallback, name);
  }
  const auto is_user_defined = [](const auto& piece) {
    return piece.type == PieceType::kUserDefined;
  };
  Bpe::Options options;
  options.unk_token = model.unk_piece;
  options.fuse_unk = true;
  options.byte_fallback = model.byte_fallback;
  options.ignore_merges = std::any_of(model.pieces.begin(), model.pieces.end(), is_user_defined);
  return std::make_unique<Bpe>(Vocab::from_pieces(numbering.pieces, name),
                               sentencepiece_merges(model, name), options, name);
}

std::unique_ptr<Normalizer> replace_text(const char* text, const char* content) {
  return std::make_unique<Replace>(Pattern::literal(text), content);
}

std::unique_ptr<Normalizer> replace_regex(const char* pattern, const char* content) {
  return std::make_unique<Replace>(Pattern::regex(pattern, "sentencepiece"), content);
}

/// What the model itself says, for families without a rule of their own.
void add_own_normalizers(const SentencepieceModel& model, Normalizers& list) {
  if (model.remove_extra_whitespaces) {
    list.push_back(replace_regex("\\A +| +\\z", ""));
    list.push_back(replace_regex(" {2,}", " "));
  }
  if (model.escape_whitespaces) list.push_back(replace_text(" ", kMark));
  // Metaspace puts no mark before a text that begins with one, sentencepiece does.
  if (model.add_dummy_prefix) list.push_back(replace_regex("\\A\u2581", "\u2581\u2581"));
}

std::unique_ptr<Normalizer> make_piece_normalizer(const SentencepieceModel& model, Family family,
                                                  const SideFiles& side, const std::string& name) {
  Normalizers list;
  if (family == Family::kAlbert) {
    list.push_back(replace_text("``", "\""));
    list.push_back(replace_text("''", "\""));
    if (!find_switch(side, "keep_accents").value_or(false)) {
      list.push_back(std::make_unique<NormalForm>(NormalForm::Form::kKD));
      list.push_back(std::make_unique<StripAccents>());
    }
    if (find_switch(side, "do_lower_case").value_or(true)) {
      list.push_back(std::make_unique<Lowercase>());
    }
  }
  if (family == Family::kDebertaV2) {
    if (find_switch(side, "do_lower_case").value_or(false)) {
      list.push_back(std::make_unique<Lowercase>());
    }
    list.push_back(std::make_unique<Strip>(true, true));
  }
  if (!model.precompiled_charsmap.empty()) {
    list.push_back(std::make_unique<Precompiled>(model.precompiled_charsmap, name));
  }
  if (family == Family::kDebertaV2) list.push_back(replace_regex(" {2,}", " "));
  if (family == Family::kSentencepiece) add_own_normalizers(model, list);
  if (list.empty()) return nullptr;
  return std::make_unique<NormalizerSequence>(std::move(list));
}

Json typed(const char* type, std::vector<Json::Member> members = {}) {
  members.insert(members.begin(), {"type", type});
  return Json::object(std::move(members));
}

Json metaspace(const char* prepend_scheme, bool split) {
  return typed("Metaspace",
               {{"replacement", kMark}, {"prepend_scheme", prepend_scheme}, {"split", split}});
}

/// Matches the user-defined pieces, the longest first; "" when there are none.
std::string user_defined_pattern(const SentencepieceModel& model, const std::string& name) {
  std::vector<std::string_view> texts;
  size_t n_bytes = 0;
  for (const SentencepieceModel::Piece& piece : model.pieces) {
    if (piece.type != PieceType::kUserDefined || piece.text.empty()) continue;
    texts.push_back(piece.text);
    n_bytes += piece.text.size() + 1;
    QE_CHECK(n_bytes <= kMaxPatternBytes, name, ": more than ", kMaxPatternBytes,
             " bytes of user-defined pieces");
  }
  std::stable_sort(texts.begin(), texts.end(),
                   [](auto a, auto b) { return count_code_points(a) > count_code_points(b); });
  std::string pattern;
  for (const std::string_view text : texts) {
    if (!pattern.empty()) pattern += '|';
    for (const char c : text) {
      if (c > 0x20 && c < 0x7F && !std::isalnum(static_cast<unsigned char>(c))) pattern += '\\';
      pattern += c;
    }
  }
  return pattern;
}

Json pretokenizer_of(const SentencepieceModel& model, Family family, const SideFiles& side,
                     const std::string& name) {
  std::vector<Json> list;
  if (family == Family::kSentencepiece) {
    if (model.add_dummy_prefix) list.push_back(metaspace("always", false));
    if (const std::string pattern = user_defined_pattern(model, name); !pattern.empty()) {
      list.push_back(typed(
          "Split", {{"pattern", Json::object({{"Regex", pattern}})}, {"behavior", "Isolated"}}));
    }
  } else {
    if (family != Family::kDebertaV2) list.push_back(typed("WhitespaceSplit"));
    if (family == Family::kDebertaV2 && find_switch(side, "split_by_punct").value_or(false)) {
      list.push_back(typed("Punctuation", {{"behavior", "Isolated"}}));
    }
    const bool prefix = find_switch(side, "add_prefix_space").value_or(true);
    list.push_back(metaspace(prefix ? "always" : "never", true));
  }
  if (list.empty()) return {};
  return typed("Sequence", {{"pretokenizers", Json::array(std::move(list))}});
}

Json decoder_of(const SentencepieceModel& model, Family family, const SideFiles& side) {
  std::vector<Json> list;
  if (family == Family::kSentencepiece) {
    list.push_back(
        typed("Replace", {{"pattern", Json::object({{"String", kMark}})}, {"content", " "}}));
    if (model.byte_fallback) list.push_back(typed("ByteFallback"));
    list.push_back(typed("Fuse"));
    if (model.add_dummy_prefix) {
      list.push_back(typed("Strip", {{"content", " "}, {"start", 1}, {"stop", 0}}));
    }
  } else {
    if (model.byte_fallback) list.push_back(typed("ByteFallback"));
    const bool prefix = find_switch(side, "add_prefix_space").value_or(true);
    list.push_back(metaspace(prefix ? "always" : "never", true));
  }
  return typed("Sequence", {{"decoders", Json::array(std::move(list))}});
}

}  // namespace

Bpe::Merges sentencepiece_merges(const SentencepieceModel& model, const std::string& name) {
  struct Rule {
    float score;
    int32_t id;          // of the piece that it makes
    uint32_t left_size;  // bytes
  };
  StringTable normal;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencepieceModel::Piece& piece = model.pieces[id];
    if (piece.type != PieceType::kNormal) continue;
    QE_CHECK(piece.text.size() <= kMaxMergedBytes, name, ": piece ", id, " has ", piece.text.size(),
             " bytes: expected at most ", kMaxMergedBytes, " in a BPE model");
    normal.insert(piece.text, static_cast<int32_t>(id));
  }
  std::vector<Rule> rules;
  for (size_t k = 0; k < model.pieces.size(); ++k) {
    const SentencepieceModel::Piece& piece = model.pieces[k];
    const std::string_view text = piece.text;
    const auto id = static_cast<int32_t>(k);
    if (piece.type != PieceType::kNormal || text.empty() || normal.find(text) != id) continue;
    size_t at = 0;
    for (next_code_point(text, at); at < text.size(); next_code_point(text, at)) {
      if (normal.find(text.substr(0, at)) == StringTable::kNotFound ||
          normal.find(text.substr(at)) == StringTable::kNotFound) {
        continue;
      }
      QE_CHECK(rules.size() < Bpe::kMaxMerges, name, ": more than ", Bpe::kMaxMerges,
               " merge rules");
      rules.push_back({piece.score, id, static_cast<uint32_t>(at)});
    }
  }
  std::sort(rules.begin(), rules.end(), [](const Rule& a, const Rule& b) {
    return std::tuple(-a.score, a.id, a.left_size) < std::tuple(-b.score, b.id, b.left_size);
  });
  Bpe::Merges merges;
  merges.reserve(rules.size());
  for (const Rule& rule : rules) {
    const std::string& text = model.pieces[static_cast<size_t>(rule.id)].text;
    merges.emplace_back(text.substr(0, rule.left_size), text.substr(rule.left_size));
  }
  return merges;
}

std::vector<AddedToken> load_sentencepiece(TokenizerParts& parts, const std::string& path,
                                           const SideFiles& side, TokenizerFamily family) {
  const SentencepieceModel model = SentencepieceModel::read(path);
  parts.model = make_piece_model(model, family, path);
  parts.normalizer = make_piece_normalizer(model, family, side, path);
  parts.pretokenizer = make_pretokenizer(pretokenizer_of(model, family, side, path));
  parts.decoder = make_decoder(decoder_of(model, family, side));
  if (family != Family::kSentencepiece) {
    const int32_t cls = role_id(parts, side, family, TokenRole::kCls, path);
    const int32_t sep = role_id(parts, side, family, TokenRole::kSep, path);
    const bool like_bert = family == Family::kAlbert || family == Family::kDebertaV2;
    parts.post_processor = like_bert ? PostProcessor::bert(cls, sep)
                                     : PostProcessor::roberta(cls, sep, /*trim_offsets=*/false,
                                                              /*add_prefix_space=*/false);
  }
  std::vector<AddedToken> added;
  const auto add = [&](const std::string& content) {
    AddedToken token;
    token.content = content;
    token.special = true;
    token.normalized = false;
    added.push_back(token);
  };
  if (family == Family::kCamembert) {
    for (const char* name : {"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"}) add(name);
  }
  // User-defined pieces stay pieces, as in published tokenizer.json files: as added tokens they
  // would begin a new word after them.
  for (const SentencepieceModel::Piece& piece : model.pieces) {
    if (piece.type == PieceType::kControl && !piece.text.empty()) add(piece.text);
  }
  return added;
}

}  // namespace qe
