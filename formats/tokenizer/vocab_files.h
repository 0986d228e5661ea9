// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Tokenizers of folders without tokenizer.json, from a vocabulary in the family's own form:
// vocab.txt (BERT, MPNet, ESM), vocab.json with merges.txt (RoBERTa, DeBERTa), or a sentencepiece
// model (XLM-RoBERTa, CamemBERT, ALBERT, DeBERTa-v2). What stands around it is what transformers'
// converters write into tokenizer.json.

#include <string>
#include <vector>

#include "formats/tokenizer/bert_normalizer.h"
#include "formats/tokenizer/side_files.h"
#include "formats/tokenizer/tokenizer_parts.h"

namespace qe {

struct LoadedVocab {
  TokenizerFamily family;
  /// To be added after the tokens of the side files, where they are not added yet.
  std::vector<AddedToken> added;
};

/// Fills all of `parts` but the added tokens. The family follows from the side files, else from the
/// vocabulary's name. Error when there is no vocabulary, or none of the family's.
LoadedVocab load_vocab_files(TokenizerParts& parts, const std::string& folder,
                             const SideFiles& side);

/// The switches of BERT's normalizer that tokenizer_config.json names replace those of
/// tokenizer.json, as in transformers.
void apply_switches(BertNormalizer::Options& options, const SideFiles& side);

/// The id of the role's token, declared or by convention. Error when the vocabulary lacks it.
/// `path` names the vocabulary.
int32_t role_id(const TokenizerParts& parts, const SideFiles& side, TokenizerFamily family,
                TokenRole role, const std::string& path);

}  // namespace qe
