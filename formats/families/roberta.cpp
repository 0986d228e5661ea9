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

EncoderConfig read(const Json& config, int64_t vocab_size) {
  check_choice(config, "position_embedding_type", "absolute");
  EncoderConfig encoder = read_bert_keys(config, {.vocab_size = vocab_size, .pad_token_id = 1});
  skip_padding(encoder);
  encoder.head_activation = HiddenAct::kGelu;
  encoder.names = roberta_names();
  encoder.quantize_skip = {"lm_head"};
  complete(encoder, config);
  return encoder;
}

EncoderConfig read_roberta(const Json& config) {
  EncoderConfig encoder = read(config, 50265);
  encoder.model_type = "roberta";
  encoder.masked_lm_class = "RobertaForMaskedLM";
  encoder.parent_library = "transformers.models.roberta.modeling_roberta";
  encoder.default_lora_targets = {"query", "value"};
  return encoder;
}

EncoderConfig read_xlm_roberta(const Json& config) {
  EncoderConfig encoder = read(config, 30522);
  encoder.model_type = "xlm-roberta";
  encoder.masked_lm_class = "XLMRobertaForMaskedLM";
  encoder.parent_library = "transformers.models.xlm_roberta.modeling_xlm_roberta";
  encoder.default_lora_targets = {"query", "value"};
  return encoder;
}

EncoderConfig read_camembert(const Json& config) {
  EncoderConfig encoder = read(config, 30522);
  encoder.model_type = "camembert";
  encoder.masked_lm_class = "CamembertForMaskedLM";
  encoder.parent_library = "transformers.models.camembert.modeling_camembert";
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

Family roberta() { return {"roberta", read_roberta, roberta_canonical_name}; }
Family xlm_roberta() { return {"xlm-roberta", read_xlm_roberta, roberta_canonical_name}; }
Family camembert() { return {"camembert", read_camembert, roberta_canonical_name}; }

}  // namespace qe::model_families
