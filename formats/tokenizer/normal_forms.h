// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Unicode normalization forms C, D, KC and KD.

#include "formats/tokenizer/normalizer.h"

namespace qe {

class NormalForm final : public Normalizer {
 public:
  enum class Form { kC, kD, kKC, kKD };
  explicit NormalForm(Form form) : form_(form) {}
  void normalize(NormalizedText& text) const override;

 private:
  Form form_;
};

}  // namespace qe
