// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/model.h"

#include "formats/quote.h"
#include "formats/tokenizer/bpe.h"
#include "formats/tokenizer/unigram.h"
#include "formats/tokenizer/word_level.h"
#include "formats/tokenizer/wordpiece.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

/// The type an old file means that does not say it.
const char* inferred_type(const Json& json) {
  const Json* vocab = json.find("vocab");
  if (vocab != nullptr && vocab->is_array()) return "Unigram";
  if (json.find("merges") != nullptr) return "BPE";
  return json.find("continuing_subword_prefix") != nullptr ? "WordPiece" : "WordLevel";
}

}  // namespace

std::unique_ptr<Model> make_model(const Json& json) {
  const Json* type = json.find("type");
  const std::string name = type != nullptr ? type->as_string() : inferred_type(json);
  if (name == "WordPiece") return std::make_unique<WordPiece>(WordPiece::from_json(json));
  if (name == "BPE") return std::make_unique<Bpe>(Bpe::from_json(json));
  if (name == "Unigram") return std::make_unique<Unigram>(Unigram::from_json(json));
  if (name == "WordLevel") return std::make_unique<WordLevel>(WordLevel::from_json(json));
  fail(type != nullptr ? type->where() : json.where(), ": model type ", quote(name),
       " is not supported (expected WordPiece, BPE, Unigram or WordLevel)");
}

}  // namespace qe
