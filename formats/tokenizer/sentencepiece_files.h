// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Tokenizers from sentencepiece models. Families number the pieces in their own ways, and most
// normalize otherwise than the model says.

#include <string>
#include <vector>

#include "formats/tokenizer/bpe.h"
#include "formats/tokenizer/sentencepiece_model.h"
#include "formats/tokenizer/side_files.h"
#include "formats/tokenizer/tokenizer_parts.h"

namespace qe {

/// Fills all of `parts` but the added tokens. Returns those that the model asks for.
std::vector<AddedToken> load_sentencepiece(TokenizerParts& parts, const std::string& path,
                                           const SideFiles& side, TokenizerFamily family);

/// The merge rules of a BPE model, which has only scores: all ways to make a normal piece of two,
/// by descending score, then id, then length of the left part. `name` stands for the file in
/// errors: pieces of more than 256 bytes, too many rules.
Bpe::Merges sentencepiece_merges(const SentencepieceModel& model, const std::string& name);

}  // namespace qe
