// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Reading a tokenizer's folder. tokenizer.json says how text becomes ids; without it, the older
// files of the family do (vocab_files.h). tokenizer_config.json, special_tokens_map.json and
// added_tokens.json name the special tokens and may add tokens, as transformers does on loading.

#include <string>

#include "formats/tokenizer/tokenizer_parts.h"

namespace qe {

TokenizerParts load_tokenizer_parts(const std::string& folder);

}  // namespace qe
