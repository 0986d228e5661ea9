// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// BERT's normalizer: control characters dropped, white space to ' ', spaces around Chinese
// characters, accents stripped (canonical decomposition without nonspacing marks), lower case; in
// this order.

#include <optional>

#include "formats/tokenizer/normalizer.h"

namespace qe {

class BertNormalizer final : public Normalizer {
 public:
  struct Options {
    bool clean_text = true;
    bool handle_chinese_chars = true;
    std::optional<bool> strip_accents;  ///< unset: as lowercase
    bool lowercase = true;
  };
  /// From {"type": "BertNormalizer", ...}; missing members have the defaults above.
  static Options options(const Json& json);

  explicit BertNormalizer(const Options& options);
  void normalize(NormalizedText& text) const override;

 private:
  struct Char;
  void normalize_ascii(NormalizedText& text) const;
  void clean(std::vector<Char>& chars) const;

  Options options_;
  bool strip_accents_;
};

}  // namespace qe
