// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// BERT: post-norm, learned positions from 0, two token types, GELU, a head of dense + LayerNorm
// whose output matrix is the word table. Devlin et al. 2018; transformers' BertForMaskedLM.

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames names_of_bert() {
  EncoderNames names = bert_names::encoder("bert");
  bert_names::add_bert_head(names);
  return names;
}

EncoderConfig read_bert(const Json& config) {
  EncoderConfig encoder = read_bert_keys(config, {});
  encoder.names = names_of_bert();
  name_family(encoder, "bert", "Bert");
  encoder.default_lora_targets = {"query", "value"};
  encoder.quantize_skip = {"cls"};
  complete(encoder, config);
  return encoder;
}

/// Files of BertForPreTraining also hold the next-sentence head and the pooler; files of BertModel
/// lack the prefix.
std::string bert_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "bert.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"cls.seq_relationship.", "bert.pooler."},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family bert() { return {"bert", read_bert, bert_canonical_name}; }

}  // namespace qe::model_families
