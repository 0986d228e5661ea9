// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/normalizer.h"

#include "formats/tokenizer/bert_normalizer.h"
#include "kernels/core/error.h"

namespace qe {

std::unique_ptr<Normalizer> make_normalizer(const Json& json) {
  if (json.is_null()) return nullptr;
  const Json& type = json.at("type");
  if (type.as_string() == "BertNormalizer") {
    return std::make_unique<BertNormalizer>(BertNormalizer::options(json));
  }
  fail(type.where(), ": normalizer type \"", type.as_string(),
       "\" is not supported (expected BertNormalizer or null)");
}

}  // namespace qe
