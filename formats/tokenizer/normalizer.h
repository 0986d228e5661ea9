// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The first stage of a tokenizer: rewriting text (lower case, accents, white space) while keeping
// track of where every character came from.

#include <memory>

#include "formats/json.h"
#include "formats/tokenizer/normalized_text.h"

namespace qe {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void normalize(NormalizedText& text) const = 0;
};

/// From tokenizer.json's "normalizer" (null: no normalizer, a null pointer). Error when the type
/// is not supported.
std::unique_ptr<Normalizer> make_normalizer(const Json& json);

}  // namespace qe
