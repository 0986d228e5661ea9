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

/// Normalizers one after the other.
class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> parts)
      : parts_(std::move(parts)) {}
  void normalize(NormalizedText& text) const override {
    for (const auto& part : parts_) {
      part->normalize(text);
      text.check_size(text.text.size());
    }
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

/// From tokenizer.json's "normalizer" (null: no normalizer, a null pointer). Error on unknown
/// types.
std::unique_ptr<Normalizer> make_normalizer(const Json& json);

}  // namespace qe
