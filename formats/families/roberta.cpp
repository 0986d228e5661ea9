// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// RoBERTa, and XLM-RoBERTa and CamemBERT, which differ from it by vocabulary only: BERT's layers
// with positions that count non-padding ids from pad_token_id + 1 on. Liu et al. 2019.

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames roberta_names() {
  EncoderNames names = bert_names::encoder("roberta");
  bert_names::add_roberta_head(names);
  return names;
}

struct Variant {
  const char* model_type;
  const char* classes;
  int64_t vocab_size;
  bool peft_has_targets;
};
constexpr Variant kRoberta{"roberta", "Roberta", 50265, true};
constexpr Variant kXlmRoberta{"xlm-roberta", "XLMRoberta", 30522, true};
constexpr Variant kCamembert{"camembert", "Camembert", 30522, false};

template <const Variant& variant>
EncoderConfig read(const Json& config) {
  EncoderConfig encoder =
      read_bert_keys(config, {.vocab_size = variant.vocab_size, .pad_token_id = 1});
  skip_padding(encoder);
  encoder.head_activation = Activation::kGelu;
  encoder.names = roberta_names();
  name_family(encoder, variant.model_type, variant.classes);
  if (variant.peft_has_targets) encoder.default_lora_targets = {"query", "value"};
  encoder.quantize_skip = {"lm_head"};
  complete(encoder, config);
  return encoder;
}

std::string roberta_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "roberta.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"roberta.pooler."},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family roberta() { return {"roberta", read<kRoberta>, roberta_canonical_name}; }
Family xlm_roberta() { return {"xlm-roberta", read<kXlmRoberta>, roberta_canonical_name}; }
Family camembert() { return {"camembert", read<kCamembert>, roberta_canonical_name}; }

}  // namespace qe::model_families
