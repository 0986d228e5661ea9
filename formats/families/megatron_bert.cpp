// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Megatron's BERT: BERT with pre-norm layers, a LayerNorm after the last one and none after the
// embeddings. Shoeybi et al. 2019.

#include "formats/families/bert_names.h"
#include "formats/families/config_keys.h"
#include "formats/families/name_rules.h"

namespace qe::model_families {
namespace {

using namespace config_keys;

EncoderNames megatron_names() {
  EncoderNames names = bert_names::encoder("bert");
  names.embedding_norm.clear();
  names.attention_norm = "bert.encoder.layer.{i}.attention.ln";
  names.ffn_norm = "bert.encoder.layer.{i}.ln";
  names.final_norm = "bert.encoder.ln";
  bert_names::add_bert_head(names);
  return names;
}

EncoderConfig read_megatron(const Json& config) {
  EncoderConfig encoder = read_bert_keys(
      config,
      {.vocab_size = 29056, .hidden_size = 1024, .n_layers = 24, .n_heads = 16, .ffn_size = 4096});
  encoder.norm_placement = NormPlacement::kPre;
  encoder.names = megatron_names();
  name_family(encoder, "megatron-bert", "MegatronBert");
  encoder.quantize_skip = {"cls"};
  complete(encoder, config);
  return encoder;
}

std::string megatron_canonical_name(const std::string& stored) {
  static const name_rules::NameRules rules{
      .prefix = "bert.",
      .bare = {"embeddings.", "encoder.", "pooler."},
      .ignored = {"cls.seq_relationship.", "bert.pooler."},
  };
  return name_rules::canonical_name(rules, stored);
}

}  // namespace

Family megatron_bert() { return {"megatron-bert", read_megatron, megatron_canonical_name}; }

}  // namespace qe::model_families
