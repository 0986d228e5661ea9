// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <doctest/doctest.h>

#include "formats/encoder_config.h"
#include "formats/weight_files.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

EncoderConfig read(const std::string& members) {
  return family_of("bert").read(Json::parse("{" + members + "}", "config.json"));
}

std::string error(const std::string& members) {
  return error_of([&] { read(members); });
}

TEST_CASE("BERT's defaults are bert-base-uncased") {
  const EncoderConfig config = read("");
  CHECK(config.vocab_size == 30522);
  CHECK(config.hidden_size == 768);
  CHECK(config.n_layers == 12);
  CHECK(config.n_heads == 12);
  CHECK(config.ffn_size == 3072);
  CHECK(config.max_positions == 512);
  CHECK(config.position_offset == 0);
  CHECK(config.n_token_types == 2);
  CHECK(config.activation == Activation::kGelu);
  CHECK(config.head_activation == Activation::kGelu);
  CHECK(config.norm_epsilon == 1e-12f);
  CHECK(config.embedding_dropout == 0.1f);
  CHECK(config.attention_dropout == 0.1f);
  CHECK(config.pad_token_id == 0);
  CHECK(config.tied_decoder);
  CHECK(config.masked_lm_class == "BertForMaskedLM");
  CHECK(config.default_lora_targets == std::vector<std::string>{"query", "value"});
}

TEST_CASE("BERT's keys are read, unknown ones ignored, null means the default") {
  const EncoderConfig config = read(R"("vocab_size": 100, "hidden_size": 64,
      "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96,
      "max_position_embeddings": 40, "type_vocab_size": 1, "hidden_act": "relu",
      "layer_norm_eps": 1e-5, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0.25,
      "pad_token_id": null, "tie_word_embeddings": false, "is_decoder": false,
      "add_cross_attention": null, "position_embedding_type": "absolute", "pruned_heads": {},
      "classifier_dropout": null, "something_new": {"x": [1]})");
  CHECK(config.vocab_size == 100);
  CHECK(config.hidden_size == 64);
  CHECK(config.n_layers == 3);
  CHECK(config.head_dim == 16);
  CHECK(config.ffn_size == 96);
  CHECK(config.max_positions == 40);
  CHECK(config.n_token_types == 1);
  CHECK(config.activation == Activation::kRelu);
  CHECK(config.norm_epsilon == 1e-5f);
  CHECK(config.embedding_dropout == 0.0f);
  CHECK(config.attention_dropout == 0.25f);
  CHECK(config.pad_token_id == 0);
  CHECK_FALSE(config.tied_decoder);
}

TEST_CASE("activation names map to what is computed") {
  const auto activation = [](const std::string& name) {
    return read("\"hidden_act\": \"" + name + "\"").activation;
  };
  for (const char* name : {"gelu", "gelu_python"}) CHECK(activation(name) == Activation::kGelu);
  for (const char* name :
       {"gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"}) {
    CHECK(activation(name) == Activation::kGeluTanh);
  }
  for (const char* name : {"silu", "swish"}) CHECK(activation(name) == Activation::kSilu);
  CHECK(activation("quick_gelu") == Activation::kQuickGelu);
  CHECK(activation("mish") == Activation::kMish);
  CHECK(activation("hardswish") == Activation::kHardSwish);
  CHECK(activation("relu2") == Activation::kRelu2);
  CHECK(activation("relu6") == Activation::kRelu6);
  CHECK(activation("leaky_relu") == Activation::kLeakyRelu);
  CHECK(activation("tanh") == Activation::kTanh);
  CHECK(activation("sigmoid") == Activation::kSigmoid);
  CHECK(activation("linear") == Activation::kLinear);
  CHECK(error(R"("hidden_act": "xielu")") ==
        "config.json: /hidden_act: activation \"xielu\" is not supported; supported: gelu, "
        "gelu_python, gelu_new, gelu_pytorch_tanh, gelu_python_tanh, gelu_fast, gelu_accurate, "
        "quick_gelu, silu, swish, mish, hardswish, relu, relu2, relu6, leaky_relu, tanh, sigmoid, "
        "linear");
}

TEST_CASE("BERT configurations that cannot be are refused by key and value") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("hidden_size": 0)", "/hidden_size: expected 1 to 131072, got 0"},
      {R"("hidden_size": -768)", "/hidden_size: expected 1 to 131072, got -768"},
      {R"("hidden_size": 9223372036854775807)", "/hidden_size: expected 1 to 131072, got 92233"},
      {R"("hidden_size": "768")", "/hidden_size: expected an integer, got \"768\""},
      {R"("hidden_size": 76.8)", "/hidden_size: expected a 64-bit integer, got 76.8"},
      {R"("hidden_size": [768])", "/hidden_size: expected an integer, got [768]"},
      {R"("vocab_size": 4294967296)", "/vocab_size: expected 1 to 67108864, got 4294967296"},
      {R"("num_hidden_layers": 0)", "/num_hidden_layers: expected 1 to 1024, got 0"},
      {R"("num_hidden_layers": 1025)", "/num_hidden_layers: expected 1 to 1024, got 1025"},
      {R"("num_attention_heads": 0)", "/num_attention_heads: expected 1 to 131072, got 0"},
      {R"("num_attention_heads": 7)", "hidden size 768 is not a multiple of the 7 attention heads"},
      {R"("hidden_size": 4096, "num_attention_heads": 2)",
       "hidden size 4096 over 2 attention heads gives 2048 columns a head, at most 1024 are "
       "supported"},
      {R"("intermediate_size": 1000000)", "/intermediate_size: expected 1 to 131072, got 1000000"},
      {R"("max_position_embeddings": 0)", "/max_position_embeddings: expected 1 to 65536, got 0"},
      {R"("type_vocab_size": 0)", "/type_vocab_size: expected 1 to 65536, got 0"},
      {R"("layer_norm_eps": 0)", "/layer_norm_eps: expected an epsilon in (0, 1) of fp32, got 0"},
      {R"("layer_norm_eps": 1e-60)",
       "/layer_norm_eps: expected an epsilon in (0, 1) of fp32, got 1e-60"},
      {R"("layer_norm_eps": -1e-5)", "/layer_norm_eps: expected an epsilon"},
      {R"("hidden_dropout_prob": 1.0)",
       "/hidden_dropout_prob: expected a probability in [0, 1), got 1.0"},
      {R"("attention_probs_dropout_prob": -0.1)",
       "/attention_probs_dropout_prob: expected a probability in [0, 1), got -0.1"},
      {R"("pad_token_id": 30522)", "pad_token_id 30522 is outside the vocabulary of 30522"},
      {R"("pad_token_id": -1)", "/pad_token_id: expected 0 to 67108864, got -1"},
      {R"("hidden_act": 3)", "/hidden_act: expected a string, got 3"},
      {R"("is_decoder": true)", "/is_decoder: true is not supported: "},
      {R"("is_decoder": "yes")", "/is_decoder: expected true or false, got \"yes\""},
      {R"("add_cross_attention": true)", "/add_cross_attention: true is not supported: "},
      {R"("position_embedding_type": "relative_key")",
       "/position_embedding_type: \"relative_key\" is not supported; supported: absolute"},
      {R"("pruned_heads": {"0": [1]})",
       "/pruned_heads: pruned heads are not supported, got {\"0\": [1]}"},
  };
  for (const auto& [members, message] : cases) {
    CAPTURE(members);
    CHECK(error(members).substr(0, message.size() + 13) == "config.json: " + message);
  }
}

TEST_CASE("BERT's stored names become the names the engine looks up") {
  const auto canonical = family_of("bert").canonical_name;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"},
      {"bert.encoder.layer.0.output.LayerNorm.beta", "bert.encoder.layer.0.output.LayerNorm.bias"},
      {"cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.weight"},
      {"embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"},
      {"embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight"},
      {"encoder.layer.3.attention.self.query.weight",
       "bert.encoder.layer.3.attention.self.query.weight"},
      {"encoder.layer.3.attention.self.query.weight.absmax",
       "bert.encoder.layer.3.attention.self.query.weight.absmax"},
      {"cls.predictions.bias", "cls.predictions.bias"},
      {"cls.predictions.decoder.bias", "cls.predictions.decoder.bias"},
      {"cls.predictions.decoder.weight", "cls.predictions.decoder.weight"},
      {"cls.seq_relationship.weight", ""},
      {"bert.pooler.dense.weight", ""},
      {"pooler.dense.bias", ""},
      {"bert.embeddings.position_ids", ""},
      {"embeddings.position_ids", ""},
      {"my.gamma", "my.gamma"},
  };
  for (const auto& [stored, expected] : cases) {
    CAPTURE(stored);
    CHECK(canonical(stored) == expected);
  }
}

TEST_CASE("the example model holds every tensor that its names ask for") {
  const std::string folder = QE_SOURCE_DIR "/examples/tiny-mlm";
  const EncoderConfig config = read_encoder_config(folder);
  const WeightFiles weights(folder);
  const auto canonical = family_of("bert").canonical_name;
  std::map<std::string, const StoredTensor*> tensors;
  for (const auto& [name, tensor] : weights.tensors()) tensors[canonical(name)] = tensor;
  const EncoderNames& names = config.names;
  const auto check_linear = [&](const std::string& module, int64_t out, int64_t in) {
    CAPTURE(module);
    REQUIRE(tensors.count(module + ".weight") == 1);
    CHECK(tensors[module + ".weight"]->shape == std::vector<int64_t>{out, in});
    REQUIRE(tensors.count(module + ".bias") == 1);
  };
  const int64_t c = config.hidden_size, f = config.ffn_size;
  for (int64_t i = 0; i < config.n_layers; ++i) {
    for (const auto* name : {&names.query, &names.key, &names.value, &names.attention_output}) {
      check_linear(layer_name(*name, i), c, c);
    }
    check_linear(layer_name(names.ffn_up, i), f, c);
    check_linear(layer_name(names.ffn_down, i), c, f);
    CHECK(tensors.count(layer_name(names.attention_norm, i) + ".weight") == 1);
    CHECK(tensors.count(layer_name(names.ffn_norm, i) + ".bias") == 1);
  }
  check_linear(names.head_dense, c, c);
  CHECK(tensors.count(names.head_norm + ".weight") == 1);
  CHECK(tensors.count(names.decoder_bias) == 1);
  CHECK(tensors[names.word_embeddings + ".weight"]->shape[0] == config.vocab_size);
  CHECK(tensors[names.position_embeddings + ".weight"]->shape[0] == config.max_positions);
  CHECK(tensors[names.token_type_embeddings + ".weight"]->shape[0] == config.n_token_types);
}

}  // namespace
}  // namespace qe
