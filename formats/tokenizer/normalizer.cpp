// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/normalizer.h"

#include "formats/quote.h"
#include "formats/tokenizer/bert_normalizer.h"
#include "formats/tokenizer/char_normalizers.h"
#include "formats/tokenizer/normal_forms.h"
#include "formats/tokenizer/precompiled.h"
#include "formats/tokenizer/replace.h"
#include "kernels/core/error.h"

namespace qe {

std::unique_ptr<Normalizer> make_normalizer(const Json& json) {
  if (json.is_null()) return nullptr;
  const Json& type = json.at("type");
  const std::string& name = type.as_string();
  using Form = NormalForm::Form;
  if (name == "BertNormalizer") {
    return std::make_unique<BertNormalizer>(BertNormalizer::options(json));
  }
  if (name == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> parts;
    for (const Json& part : json.at("normalizers").items()) {
      QE_CHECK(!part.is_null(), part.where(), ": expected a normalizer, got null");
      parts.push_back(make_normalizer(part));
    }
    return std::make_unique<NormalizerSequence>(std::move(parts));
  }
  if (name == "NFC") return std::make_unique<NormalForm>(Form::kC);
  if (name == "NFD") return std::make_unique<NormalForm>(Form::kD);
  if (name == "NFKC") return std::make_unique<NormalForm>(Form::kKC);
  if (name == "NFKD") return std::make_unique<NormalForm>(Form::kKD);
  if (name == "Lowercase") return std::make_unique<Lowercase>();
  if (name == "StripAccents") return std::make_unique<StripAccents>();
  if (name == "Strip") {
    return std::make_unique<Strip>(json.at("strip_left").as_bool(),
                                   json.at("strip_right").as_bool());
  }
  if (name == "Replace") {
    return std::make_unique<Replace>(Pattern::from_json(json.at("pattern")),
                                     json.at("content").as_string());
  }
  if (name == "Prepend") return std::make_unique<Prepend>(json.at("prepend").as_string());
  if (name == "Precompiled") {
    const Json& map = json.at("precompiled_charsmap");
    if (map.is_null()) return std::make_unique<NormalizerSequence>(NormalizerSequence({}));
    return std::make_unique<Precompiled>(decode_base64(map.as_string(), map.where()), map.where());
  }
  if (name == "Nmt") return std::make_unique<Nmt>();
  if (name == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  fail(type.where(), ": normalizer type ", quote(name),
       " is not supported (expected BertNormalizer, Sequence, NFC, NFD, NFKC, NFKD, Lowercase, "
       "StripAccents, Strip, Replace, Prepend, Precompiled, Nmt, ByteLevel or null)");
}

}  // namespace qe
