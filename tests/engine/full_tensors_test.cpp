// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Parameters of the base that an adapter has in full: what is trained, where it starts from, and
// heads that a folder lacks. Against peft: adapter_variants_test.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "engine/convert/converted_tensors.h"
#include "engine/infer/fill_mask.h"
#include "engine/train/trainer.h"
#include "tests/support/golden_model.h"
#include "tests/support/random_run.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

const std::string kLayer = "bert.encoder.layer.1.";

AdapterConfig config_of(AdapterConfig::Bias bias, std::vector<std::string> modules_to_save) {
  AdapterConfig config;
  config.r = 2;
  config.target_modules = {"query", "output.dense"};
  config.bias = bias;
  config.modules_to_save = std::move(modules_to_save);
  return config;
}

// The names of what an adapter has in full.
std::vector<std::string> full_names(test::GoldenModel& model, const AdapterConfig& config) {
  const auto adapter = make_adapter(config, model.lm, true, model.ctx, model.memory);
  std::vector<std::string> names;
  for (const FullTensor& full : adapter->full_tensors()) {
    names.insert(names.end(), full.names.begin(), full.names.end());
  }
  return names;
}

// tests/golden/bert/model without its head, as BertModel saves it: without "bert." before names.
void write_bare_bert(const std::string& folder) {
  fs::copy(test::golden_path("bert/model"), folder);
  const std::string path = folder + "/model.safetensors";
  std::vector<TensorToWrite> tensors;
  const SafetensorsFile file(test::golden_path("bert/model") + "/model.safetensors");
  for (const auto& [name, tensor] : file.tensors()) {
    if (!name.starts_with("bert.")) continue;
    tensors.push_back({name.substr(5), tensor.dtype, tensor.shape, tensor.bytes.data(), {}});
  }
  write_safetensors(path, tensors);
}

std::string logged_warnings(const std::function<void(const Log&)>& run) {
  std::string warnings;
  run(Log([&](LogLevel level, const std::string& line) {
    if (level == LogLevel::kWarning) warnings += line + "\n";
  }));
  return warnings;
}

}  // namespace

TEST_CASE(
    "full tensors: which parameters bias and modules_to_save mean, and what they are called") {
  using Bias = AdapterConfig::Bias;
  test::GoldenModel bert(test::golden_path("bert"), 32, false);
  CHECK(full_names(bert, config_of(Bias::kNone, {})).empty());
  CHECK(full_names(bert, config_of(Bias::kLoraOnly, {})).size() == 6);
  const auto all = full_names(bert, config_of(Bias::kAll, {}));
  const auto has = [&](const std::string& name) { return std::ranges::count(all, name) == 1; };
  CHECK(has(kLayer + "attention.self.query.base_layer.bias"));
  CHECK(has(kLayer + "attention.self.key.bias"));
  CHECK(has(kLayer + "output.LayerNorm.bias"));
  CHECK(has("cls.predictions.bias"));
  CHECK(has("cls.predictions.decoder.bias"));
  CHECK(all.size() == 2 * 8 + 1 + 2 + 2);
  // Endings, whole names or not; what is inside; no bias twice.
  CHECK(full_names(bert, config_of(Bias::kLoraOnly, {"1.intermediate"})) ==
        std::vector<std::string>{
            "bert.encoder.layer.0.attention.self.query.base_layer.bias",
            "bert.encoder.layer.0.attention.output.dense.base_layer.bias",
            "bert.encoder.layer.0.output.dense.base_layer.bias",
            kLayer + "attention.self.query.base_layer.bias",
            kLayer + "attention.output.dense.base_layer.bias", kLayer + "intermediate.dense.weight",
            kLayer + "intermediate.dense.bias", kLayer + "output.dense.base_layer.bias"});
  CHECK(full_names(bert, config_of(Bias::kNone, {"s.decoder"})) ==
        std::vector<std::string>{"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"});
  CHECK(full_names(bert, config_of(Bias::kNone, {"transform.LayerNorm"})) ==
        std::vector<std::string>{"cls.predictions.transform.LayerNorm.weight",
                                 "cls.predictions.transform.LayerNorm.bias"});
  // A pair and its weight at once; peft would adapt what it has copied.
  CHECK(error_of([&] {
          full_names(bert, config_of(Bias::kNone, {"nse"}));
        }).starts_with("modules_to_save: an entry is the end of a name only, of \"bert."));

  CHECK(error_of([&] {
          full_names(bert, config_of(Bias::kNone, {"cls", "decoder"}));
        }) ==
        "modules_to_save: \"cls.predictions.decoder\" is in a module that is saved as well, "
        "which peft cannot load");

  test::GoldenModel deberta(test::golden_path("families/deberta-v2"), 32, false);
  AdapterConfig config = config_of(Bias::kAll, {});
  config.target_modules = {"query_proj"};
  CHECK(error_of([&] { full_names(deberta, config); }) ==
        "bias or modules_to_save: \"deberta.encoder.LayerNorm.bias\" cannot be trained here");
  // ESM's head adds a bias that its decoder does not have.
  test::GoldenModel esm(test::golden_path("families/esm"), 32, false);
  config.target_modules = {"query"};
  const auto of_esm = full_names(esm, config);
  CHECK(std::ranges::count(of_esm, "lm_head.bias") == 1);
  CHECK(std::ranges::count(of_esm, "lm_head.decoder.bias") == 0);
}

TEST_CASE("full tensors: a weight trained in full starts from the folder's, not from 4 bits") {
  const TemporaryFolder folder;
  RunConfig config = test::random_run(folder, "out");
  config.modules_to_save = Json("1.output.dense");
  config.max_steps = 1;
  config.learning_rate = 0.0;
  test::run(config);
  const std::string name = kLayer + "output.dense.weight";
  const SafetensorsFile saved(config.output_dir + "/adapter_model.safetensors");
  const SafetensorsFile base(config.model_name_or_path + "/model.safetensors");
  const std::vector<float> values = saved.tensors().at("base_model.model." + name).to_f32();
  CHECK(values == base.tensors().at(name).to_f32());
  CHECK_FALSE(
      saved.tensors().contains("base_model.model." + kLayer + "output.dense.lora_A.weight"));
  const Json written = Json::parse_file(config.output_dir + "/adapter_config.json");
  CHECK(written.at("modules_to_save").dump() == "[\"1.output.dense\"]");
}

TEST_CASE("full tensors: adapters that do not fit are refused by name") {
  const std::string variant = test::golden_path("adapters/bias-lora-only/adapter");
  test::GoldenModel model(test::golden_path("families/distilbert"), 32, false);
  const Adapter stored = read_adapter(variant);
  const auto adapter = make_adapter(stored.config, model.lm, true, model.ctx, model.memory);
  const auto error = [&](auto change) {
    Adapter changed = stored;
    change(changed);
    return error_of([&] { adapter->assign(changed, "folder"); });
  };
  const std::string first = stored.tensors[0].name;
  CHECK(error([](Adapter&) {}) == "");
  CHECK(error([](Adapter& a) { a.tensors.erase(a.tensors.begin()); }) ==
        "folder: the adapter is for another base: it has no tensor " + first);
  CHECK(error([](Adapter& a) {
          a.tensors[0].shape = {8, 4};
        }) ==
        "folder: " + first + ": the adapter is for another base: expected shape [32], got [8, 4]");
  CHECK(error([](Adapter& a) {
          a.tensors.push_back({"x.bias", {1}, {0.0f}});
        }) ==
        "folder: the adapter is for another base: this model has no parameter for \"x.bias\"");

  const TemporaryFolder folder;
  fs::copy(variant, folder.path(), fs::copy_options::recursive);
  Json json = Json::parse_file(variant + "/adapter_config.json");
  json.set("bias", "none");
  folder.write("adapter_config.json", json.dump());
  const std::string unspoken = error_of([&] { read_adapter(folder.path()); });
  CAPTURE(unspoken);
  CHECK(unspoken.find("or what bias, modules_to_save and trainable_token_indices speak of in ") !=
        std::string::npos);
  ThreadPool threads(1);
  CHECK(error_of([&] {
          ConvertedTensors(test::golden_path("families/distilbert/model"),
                           {.adapters = {{variant, 0.5}}}, Context{.threads = &threads});
        }).find("is merged with weight 1, got 0.5") != std::string::npos);
}

TEST_CASE("full tensors: rows of tokens, which the word table and its decoder have") {
  test::GoldenModel bert(test::golden_path("bert"), 32, false);
  AdapterConfig config = config_of(AdapterConfig::Bias::kNone, {});
  const auto error = [&](std::vector<std::pair<std::string, std::vector<int64_t>>> tokens) {
    config.trainable_tokens = std::move(tokens);
    return error_of([&] { make_adapter(config, bert.lm, true, bert.ctx, bert.memory); });
  };
  const std::string key = "trainable_token_indices: ";
  CHECK(error({{"", {4, 9}}}) == "");
  CHECK(error({{"word_embeddings", {4, 9}}, {"predictions.decoder", {4, 9}}}) == "");
  CHECK(error({{"word_embeddings", {4, 9}}, {"predictions.decoder", {4}}}) ==
        key + "the word table and the decoder tied to it have the same tokens");
  CHECK(error({{"position_embeddings", {4}}}) ==
        key + "\"position_embeddings\" is not the word table, \"bert.embeddings.word_embeddings\"");
  CHECK(error({{"", {4, 160}}}) == key + "expected 0 to 159, got 160");
  CHECK(error({{"", {4, 9, 4}}}) == key + "4 stands there twice");
  config.modules_to_save = {"word_embeddings"};
  CHECK(error({{"", {4}}}) == key + "the word table is trained in full already (modules_to_save)");
}

TEST_CASE("full tensors: a bare encoder gets a head that is trained, saved and found again") {
  const TemporaryFolder folder;
  RunConfig config = test::random_run(folder, "out");
  const std::string bare = folder.path() + "/bare";
  write_bare_bert(bare);
  config.model_name_or_path = bare;
  config.max_steps = 6;
  config.device = "cpu";
  const std::string warnings = logged_warnings(
      [&](const Log& log) { Trainer(config, Trainer::Task::kTrain, false, log).train({}); });
  CHECK(warnings.find(bare + " has no masked-LM head: a new one is trained and saved with the "
                             "adapter (cls.predictions.transform.dense, "
                             "cls.predictions.transform.LayerNorm)") != std::string::npos);
  const SafetensorsFile saved(config.output_dir + "/adapter_model.safetensors");
  const std::string head = "base_model.model.cls.predictions.transform.";
  const std::vector<float> dense = saved.tensors().at(head + "dense.weight").to_f32();
  double square = 0.0;
  for (const float w : dense) square += double{w} * w;
  // Six steps beside BERT's deviation of 0.02.
  CHECK(std::sqrt(square / static_cast<double>(dense.size())) ==
        doctest::Approx(0.02).epsilon(0.5));
  CHECK(saved.tensors().contains(head + "LayerNorm.bias"));
  CHECK_FALSE(saved.tensors().contains(head + "dense.lora_A.weight"));

  // Over the bare encoder and merged, the same answers.
  const InferOptions options{.model = bare,
                             .adapter = config.output_dir,
                             .base = {.bits = 32},
                             .device = "cpu",
                             .threads = 1};
  const std::string merged = folder.path() + "/merged";
  fs::copy(bare, merged);
  ThreadPool threads(1);
  ConvertOptions convert{.base = ConvertOptions::Base::kStored,
                         .dtype = DType::kF32,
                         .adapters = {{config.output_dir, 1.0}}};
  ConvertedTensors(bare, convert, Context{.threads = &threads}).write(merged);
  InferOptions of_merged = options;
  of_merged.model = merged;
  of_merged.adapter.clear();
  const std::string text = "the king of [MASK] said";
  const MaskAnswers here = FillMask(options, Log()).fill(text, 3, {});
  const MaskAnswers there = FillMask(of_merged, Log()).fill(text, 3, {});
  REQUIRE(here.size() == 1);
  REQUIRE(there.size() == 1);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(here[0][i].token == there[0][i].token);
    CHECK(here[0][i].score == doctest::Approx(there[0][i].score).epsilon(1e-4));
  }
  const Json json = Json::parse_file(merged + "/config.json");
  CHECK(json.at("architectures").dump() == "[\"BertForMaskedLM\"]");

  // Without the adapter, and with one that has no head, it stays an error.
  InferOptions without = options;
  without.adapter.clear();
  CHECK(error_of([&] { FillMask(without, Log()); }).find("has no masked-LM head") !=
        std::string::npos);
  without.adapter = test::golden_path("bert/adapter");
  CHECK(error_of([&] { FillMask(without, Log()); }).find("has no masked-LM head") !=
        std::string::npos);
  // Evaluated, and trained on.
  config.adapter_name_or_path = config.output_dir;
  config.output_dir = folder.path() + "/more";
  CHECK(Trainer(config, Trainer::Task::kEvaluate, false, Log()).evaluate().loss > 0.0);
  CHECK(test::run(config).steps == 6);
}

}  // namespace qe
