// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <doctest/doctest.h>

#include "formats/encoder_config.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

EncoderConfig defaults_of(const Family& family, const std::string& members = "") {
  return family.read(Json::parse("{" + members + "}", "config.json"));
}

std::string filled(const std::string& pattern) {
  return pattern.find("{i}") == std::string::npos ? pattern : layer_name(pattern, 0);
}

TEST_CASE("every family knows its own names, with the encoder's prefix and without") {
  for (const Family& family : families()) {
    CAPTURE(family.model_type);
    const EncoderConfig config = defaults_of(family);
    const EncoderNames& names = config.names;
    std::vector<std::string> modules = names.linears();
    for (const std::string& module : names.other_modules()) modules.push_back(module);
    CHECK(modules.size() >= 12);
    for (const std::string& pattern : modules) {
      const std::string name = filled(pattern) + ".weight";
      CAPTURE(name);
      CHECK(family.canonical_name(name) == name);
      if (!name.starts_with(names.base_prefix)) continue;
      CHECK(family.canonical_name(name.substr(names.base_prefix.size())) == name);
    }
    CHECK(family.canonical_name(names.base_prefix + "embeddings.position_ids").empty());
    if (names.embedding_norm.empty() || !names.embedding_norm.ends_with("LayerNorm")) continue;
    CHECK(family.canonical_name(names.embedding_norm + ".gamma") ==
          names.embedding_norm + ".weight");
    CHECK(family.canonical_name(names.embedding_norm + ".beta") == names.embedding_norm + ".bias");
  }
}

TEST_CASE("what pretraining classes hold beside the encoder and its head is ignored") {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"bert", "cls.seq_relationship.weight"},
      {"bert", "pooler.dense.weight"},
      {"megatron-bert", "bert.pooler.dense.bias"},
      {"roberta", "roberta.pooler.dense.weight"},
      {"xlm-roberta-xl", "pooler.dense.weight"},
      {"albert", "sop_classifier.classifier.weight"},
      {"albert", "albert.pooler.bias"},
      {"electra", "discriminator_predictions.dense.weight"},
      {"esm", "esm.contact_head.regression.weight"},
      {"esm", "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq"},
      {"deberta-v2", "mask_predictions.dense.weight"},
  };
  for (const auto& [model_type, name] : cases) {
    CAPTURE(name);
    CHECK(family_of(model_type).canonical_name(name).empty());
  }
}

TEST_CASE("ModernBERT's settings in transformers 4's keys and in 5's are the same") {
  const Family& family = family_of("modernbert");
  const EncoderConfig old_keys = defaults_of(family, R"("num_hidden_layers": 4,
      "global_attn_every_n_layers": 3, "global_rope_theta": 50000.0, "local_rope_theta": 9000.0)");
  const EncoderConfig new_keys = defaults_of(family, R"("num_hidden_layers": 4,
      "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
      "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 50000.0},
                          "sliding_attention": {"rope_type": "default", "rope_theta": 9000.0}})");
  for (const EncoderConfig* config : {&old_keys, &new_keys}) {
    CHECK(config->local_layers == std::vector<bool>{false, true, true, false});
    CHECK(config->rotary.theta == 50000.0);
    CHECK(config->local_rotary.theta == 9000.0);
    CHECK(config->local_window == 64);
  }
  CHECK(defaults_of(family, R"("local_rope_theta": null)").local_rotary.theta == 160000.0);
}

TEST_CASE("a name that is several tensors") {
  CHECK(split_name("a.b.weight") == std::vector<std::string>{"a.b.weight"});
  CHECK(split_name("a.{b,c}.weight") == std::vector<std::string>{"a.b.weight", "a.c.weight"});
  CHECK(family_of("nomic_bert").canonical_name("encoder.layers.3.attn.Wqkv.weight") ==
        "nomic_bert.layers.3.self_attn.{q_proj,k_proj,v_proj}.weight");
  CHECK(family_of("nomic_bert").canonical_name("bert.emb_ln.bias") ==
        "nomic_bert.embeddings.LayerNorm.bias");
  CHECK(family_of("deberta-v2").canonical_name("lm_predictions.lm_head.dense.weight") ==
        "cls.predictions.transform.dense.weight");
}

TEST_CASE("layers that share weights") {
  const EncoderConfig config = defaults_of(
      family_of("albert"), R"("num_hidden_layers": 12, "num_hidden_groups": 3, "hidden_size": 64)");
  CHECK(config.n_distinct_layers == 3);
  CHECK(config.layer_weights(0) == 0);
  CHECK(config.layer_weights(3) == 0);
  CHECK(config.layer_weights(4) == 1);
  CHECK(config.layer_weights(11) == 2);
}

TEST_CASE("layers that come in groups") {
  const EncoderConfig config =
      defaults_of(family_of("albert"), R"("num_hidden_layers": 5, "num_hidden_groups": 2,
                                          "inner_group_num": 3, "hidden_size": 64)");
  CHECK(config.n_layers == 15);
  CHECK(config.n_distinct_layers == 6);
  // Turns of 3 layers; groups 0 0 0 1 1.
  CHECK(config.layer_weights(0) == 0);
  CHECK(config.layer_weights(2) == 2);
  CHECK(config.layer_weights(6) == 0);
  CHECK(config.layer_weights(8) == 2);
  CHECK(config.layer_weights(9) == 3);
  CHECK(config.layer_weights(14) == 5);
  CHECK(layer_name(config.names.query, 5, config.n_inner_layers) ==
        "albert.encoder.albert_layer_groups.1.albert_layers.2.attention.query");
}

TEST_CASE("positions from the padding id on leave fewer for tokens") {
  for (const char* model_type : {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"}) {
    const EncoderConfig config =
        defaults_of(family_of(model_type), R"("max_position_embeddings": 514)");
    CHECK(config.max_length() == 512);
    CHECK(config.position_ids == PositionIds::kSkipPadding);
  }
}

TEST_CASE("NomicBERT with dynamic NTK scaling is itself up to the trained positions") {
  const EncoderConfig config =
      defaults_of(family_of("nomic_bert"), R"("n_embd": 768, "n_positions": 8192,
                  "rotary_scaling_factor": 2, "max_trained_positions": 2048)");
  CHECK(config.max_length() == 2048);
  CHECK(config.rotary.scaling == Rotary::Scaling::kNone);
}

TEST_CASE("settings without effect on masked language models change nothing") {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"bert", R"("chunk_size_feed_forward": 64, "use_cache": true, "classifier_dropout": 0.5)"},
      {"roberta", R"("output_attentions": true, "classifier_dropout": 0.5)"},
      {"albert", R"("chunk_size_feed_forward": 64, "classifier_dropout_prob": 0.5)"},
      {"distilbert", R"("sinusoidal_pos_embds": true, "qa_dropout": 0.5)"},
      {"electra", R"("summary_type": "cls_index", "summary_activation": "tanh")"},
      {"deberta-v2", R"("pooler_hidden_act": "tanh", "pooler_dropout": 0.5)"},
      {"modernbert", R"("sparse_prediction": true, "classifier_dropout": 0.5,
                        "deterministic_flash_attn": true, "classifier_pooling": "mean")"},
      {"eurobert", R"("pretraining_tp": 2, "use_cache": true, "classifier_pooling": "bos")"},
      {"eurobert", R"("rope_scaling": {"type": "dynamic", "factor": 4.0})"},
      {"nomic_bert", R"("rope_parameters": {"rope_type": "default"})"},
      {"esm", R"("hidden_act": "relu", "vocab_list": null)"},
  };
  for (const auto& [model_type, members] : cases) {
    CAPTURE(model_type);
    const Family& family = family_of(model_type);
    CHECK(defaults_of(family, members) == defaults_of(family));
  }
}

TEST_CASE("settings that would compute something else are refused by name") {
  const std::vector<std::tuple<const char*, const char*, const char*>> cases = {
      {"roberta", R"("position_embedding_type": "relative_key")", "/position_embedding_type"},
      {"electra", R"("is_decoder": true)", "/is_decoder"},
      {"roberta", R"("add_cross_attention": true)", "/add_cross_attention"},
      {"xlm-roberta-xl", R"("position_embedding_type": "relative_key_query")",
       "/position_embedding_type"},
      {"megatron-bert", R"("position_embedding_type": "relative_key")", "/position_embedding_type"},
      {"esm", R"("position_embedding_type": "relative_key")", "/position_embedding_type"},
      {"esm", R"("position_embedding_type": "rotary", "rope_scaling": {"type": "linear",
       "factor": 2.0}, "token_dropout": false)",
       "scaled rotary positions"},
      {"albert", R"("inner_group_num": 1024)", "/inner_group_num"},
      {"albert", R"("num_hidden_groups": 13)", "/num_hidden_groups"},
      {"distilbert", R"("pruned_heads": {"0": [1]})", "/pruned_heads"},
      {"deberta-v2", R"("conv_kernel_size": 2)", "/conv_kernel_size"},
      {"deberta-v2", R"("conv_kernel_size": 3, "conv_act": "prelu")", "/conv_act"},
      {"deberta-v2", R"("conv_kernel_size": 3, "conv_groups": 7)", "hidden size 1536"},
      {"deberta-v2", R"("relative_attention": true, "pos_att_type": "c2p")", "/pos_att_type"},
      {"deberta-v2", R"("relative_attention": true)", "expected both c2p and p2c"},
      {"deberta-v2", R"("pos_att_type": ["c2p", "p2c"])", "/pos_att_type"},
      {"deberta-v2", R"("attention_head_size": 32)", "/attention_head_size"},
      {"modernbert", R"("mlp_dropout": 1.0)", "/mlp_dropout"},
      {"modernbert", R"("classifier_activation": "laplace")", "/classifier_activation"},
      {"modernbert", R"("rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters":
       {"full_attention": {}})",
       "/rope_scaling"},
      {"modernbert", R"("rope_parameters": {"sliding_attention": {"rope_type": "axial"}})",
       "/rope_parameters/sliding_attention/rope_type"},
      {"modernbert", R"("num_hidden_layers": 2, "layer_types": ["full_attention"])",
       "/layer_types"},
      {"eurobert", R"("rope_scaling": {"type": "linear"})", "/rope_scaling"},
      {"eurobert", R"("rope_scaling": {"type": "linear", "factor": 0})", "/rope_scaling/factor"},
      {"eurobert", R"("rope_parameters": {"rope_type": "proportional"})",
       "/rope_parameters/rope_type"},
      {"eurobert", R"("rope_parameters": {"partial_rotary_factor": 0.5})",
       "/rope_parameters/partial_rotary_factor"},
      {"eurobert", R"("rope_parameters": {"rope_type": "llama3", "factor": 8,
       "low_freq_factor": 4, "high_freq_factor": 1})",
       "/rope_parameters"},
      {"eurobert", R"("rope_parameters": {"rope_type": "longrope", "short_factor": [1],
       "original_max_position_embeddings": 4096})",
       "/rope_parameters"},
      {"eurobert", R"("rope_parameters": {"rope_type": "longrope", "short_factor": [1]})",
       "expected 32 factors"},
      {"eurobert", R"("max_position_embeddings": 1, "rope_parameters": {"rope_type": "longrope"})",
       "/rope_parameters: longrope needs"},
      {"eurobert", R"("original_max_position_embeddings": 512)",
       "/original_max_position_embeddings"},
      {"eurobert", R"("rope_theta": 1)", "/rope_theta"},
      {"nomic_bert", R"("n_embd": 768, "rotary_emb_scale_base": 512)", "/rotary_emb_scale_base"},
      {"nomic_bert", R"("n_embd": 768, "causal": true)", "/causal"},
      {"nomic_bert", R"("n_embd": 768, "moe_every_n_layers": 2)", "/moe_every_n_layers"},
      {"nomic_bert", R"("n_embd": 768, "qkv_proj_bias": true)", "/qkv_proj_bias"},
      {"nomic_bert", R"("n_embd": 768, "rotary_emb_fraction": 0.5)", "/rotary_emb_fraction"},
      {"esm", R"("is_folding_model": true)", "/is_folding_model"},
  };
  for (const auto& [model_type, members, key] : cases) {
    CAPTURE(members);
    const std::string error = error_of([&] { defaults_of(family_of(model_type), members); });
    CHECK(error.starts_with(std::string("config.json: ") + key));
  }
}

}  // namespace
}  // namespace qe
