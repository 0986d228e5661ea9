// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/adapter.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "formats/safetensors.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const std::string kQuery = "bert.encoder.layer.0.attention.self.query";
const std::string kOutput = "bert.encoder.layer.0.output.dense";

/// Two pairs of rank 2: query (3 x 4) and output (4 x 5).
struct Example {
  std::vector<float> query_a = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> query_b = {0.5f, -0.5f, 0.25f, 1e-20f, 3, 4};
  std::vector<float> output_a = std::vector<float>(10, 0.125f);
  std::vector<float> output_b = std::vector<float>(8, -2.0f);
  AdapterConfig config;

  Example() {
    config.r = 2;
    config.lora_alpha = 16;
    config.lora_dropout = 0.05;
    config.target_modules = {"query", "output.dense"};
    config.base_model_name_or_path = "bert-base-uncased";
    config.base_model_class = "BertForMaskedLM";
    config.parent_library = "transformers.models.bert.modeling_bert";
  }
  std::vector<AdapterPairView> pairs() const {
    return {{kOutput, 2, 5, 4, output_a.data(), output_b.data()},
            {kQuery, 2, 4, 3, query_a.data(), query_b.data()}};
  }
};

TEST_CASE("an adapter survives writing and reading") {
  const TemporaryFolder folder;
  const Example example;
  write_adapter(folder.path(), example.config, {example.pairs(), {}});
  const Adapter adapter = read_adapter(folder.path());
  CHECK(adapter.config.r == 2);
  CHECK(adapter.config.lora_alpha == 16.0);
  CHECK(LoraTargets(adapter.config).scale(kQuery) == 8.0);
  CHECK(adapter.config.lora_dropout == 0.05);
  CHECK_FALSE(adapter.config.all_linear);
  CHECK(adapter.config.target_modules == example.config.target_modules);
  CHECK(adapter.config.base_model_name_or_path == "bert-base-uncased");
  CHECK(adapter.config.base_model_class == "BertForMaskedLM");
  CHECK(adapter.config.parent_library == "transformers.models.bert.modeling_bert");
  REQUIRE(adapter.pairs.size() == 2);
  const AdapterPair& query = adapter.pairs[0];
  CHECK(query.module == kQuery);
  CHECK(query.r == 2);
  CHECK(query.in == 4);
  CHECK(query.out == 3);
  CHECK(query.a == example.query_a);
  CHECK(query.b == example.query_b);
  CHECK(adapter.pairs[1].module == kOutput);
  CHECK(adapter.pairs[1].b == example.output_b);
}

TEST_CASE("magnitudes of DoRA survive writing and reading, and are there when they should be") {
  const TemporaryFolder folder;
  Example example;
  example.config.use_dora = true;
  const std::vector<float> of_output = {1, 2, 3, 4}, of_query = {5, 0.5f, 6};
  std::vector<AdapterPairView> pairs = example.pairs();
  CHECK(error_of([&] {
          write_adapter(folder.path(), example.config, {pairs, {}});
        }) == folder.path() + ": LoRA pair \"" + kOutput + "\": no magnitudes, with use_dora");
  pairs[0].magnitude = of_output.data();
  pairs[1].magnitude = of_query.data();
  write_adapter(folder.path(), example.config, {pairs, {}});
  const Adapter adapter = read_adapter(folder.path());
  CHECK(adapter.config.use_dora);
  CHECK(adapter.pairs[0].magnitude == of_query);
  CHECK(adapter.pairs[1].magnitude == of_output);
  const std::string weights = folder.path() + "/adapter_model.safetensors";
  const SafetensorsFile file(weights);
  CHECK(file.tensors().size() == 6);
  const std::string magnitude = "base_model.model." + kQuery + ".lora_magnitude_vector";
  CHECK(file.tensors().at(magnitude).shape == std::vector<int64_t>{3});

  example.config.use_dora = false;
  CHECK(error_of([&] {
          write_adapter(folder.path(), example.config, {pairs, {}});
        }).find("magnitudes without use_dora") != std::string::npos);
  const auto error = [&](std::vector<int64_t> shape, bool dora, bool pair) {
    std::vector<TensorToWrite> tensors;
    if (!shape.empty()) {
      tensors.push_back({magnitude, DType::kF32, std::move(shape), of_query.data()});
    }
    const std::string stem = "base_model.model." + kQuery;
    if (pair) {
      tensors.push_back({stem + ".lora_A.weight", DType::kF32, {2, 4}, example.query_a.data()});
      tensors.push_back({stem + ".lora_B.weight", DType::kF32, {3, 2}, example.query_b.data()});
    }
    write_safetensors(weights, tensors);
    Json config = Json::parse(content_of(folder.path() + "/adapter_config.json"), "config");
    config.set("use_dora", dora);
    folder.write("adapter_config.json", config.dump());
    return error_of([&] { read_adapter(folder.path()); });
  };
  CHECK(error({3}, true, true) == "");
  CHECK(error({3}, false, true).find("use_dora is false") != std::string::npos);
  CHECK(error({2}, true, true).find("expected a vector of 3") != std::string::npos);
  CHECK(error({3, 1}, true, true).find("expected a vector of 3") != std::string::npos);
  CHECK(error({}, true, true).find("its partner ending in .lora_magnitude_vector is missing") !=
        std::string::npos);
  CHECK(error({3}, true, false).find("its partners ending in") != std::string::npos);
}

TEST_CASE("parameters in full survive writing and reading, where the settings speak of them") {
  const TemporaryFolder folder;
  Example example;
  example.config.bias = AdapterConfig::Bias::kLoraOnly;
  example.config.modules_to_save = {"head.norm"};
  const std::vector<float> bias = {1, 2, 3}, gamma = {4, 5};
  const std::vector<AdapterTensorView> tensors = {{kQuery + kAdaptedBiasSuffix, {3}, bias.data()},
                                                  {"head.norm.weight", {2}, gamma.data()}};
  write_adapter(folder.path(), example.config, {example.pairs(), tensors});
  const Adapter adapter = read_adapter(folder.path());
  CHECK(adapter.config.bias == AdapterConfig::Bias::kLoraOnly);
  CHECK(adapter.config.modules_to_save == example.config.modules_to_save);
  CHECK(read_adapter_config(folder.path()).modules_to_save == example.config.modules_to_save);
  REQUIRE(adapter.tensors.size() == 2);
  CHECK(adapter.tensors[0].name == kQuery + ".base_layer.bias");
  CHECK(adapter.tensors[0].shape == std::vector<int64_t>{3});
  CHECK(adapter.tensors[0].values == bias);
  CHECK(adapter.tensors[1].name == "head.norm.weight");
  CHECK(adapter.tensors[1].values == gamma);
  CHECK(adapter.pairs.size() == 2);

  const auto error = [&](const std::string& name, const std::vector<float>& values) {
    const std::vector<AdapterTensorView> odd = {{name, {2}, values.data()}};
    const std::string message = error_of([&] {
      write_adapter(folder.path(), example.config, {example.pairs(), odd});
    });
    return message.substr(std::min(message.size(), folder.path().size() + 2));
  };
  CHECK(error("head.norm.bias", gamma) == "");
  CHECK(
      error("head.dense.weight", gamma).starts_with("tensor \"head.dense.weight\": is not what "));
  CHECK(error("head.norm..bias", gamma) == "tensor \"head.norm..bias\": not a module path");
  CHECK(error("head.norm.bias", {1, NAN}) == "tensor \"head.norm.bias\": element 1 of it is nan");
  // Modules are matched by the ends of their paths, whole names or not, and with all in them.
  const std::vector<std::string> saved = {"norm", "1.output"};
  for (const char* module : {"head.norm", "attn_norm", "layer.1.output", "layer.11.output.dense"}) {
    CHECK(is_saved_module(module, saved));
  }
  for (const char* module : {"head.norm2", "layer.2.output", "output", ""}) {
    CHECK_FALSE(is_saved_module(module, saved));
  }
  // Adapted are those whose path has no whole name of them.
  AdapterConfig config;
  config.all_linear = true;
  config.modules_to_save = {"head", "1.output"};
  for (const char* module : {"head", "lm.head.dense", "layer.1.output.dense"}) {
    CHECK_FALSE(LoraTargets(config).matches(module));
  }
  for (const char* module : {"lm_head.dense", "layer.11.output.dense"}) {
    CHECK(LoraTargets(config).matches(module));
  }
}

TEST_CASE("adapter_config.json has peft's core keys, sorted") {
  const TemporaryFolder folder;
  const Example example;
  write_adapter(folder.path(), example.config, {example.pairs(), {}});
  CHECK(content_of(folder.path() + "/adapter_config.json") == R"({
  "alpha_pattern": {},
  "auto_mapping": {
    "base_model_class": "BertForMaskedLM",
    "parent_library": "transformers.models.bert.modeling_bert"
  },
  "base_model_name_or_path": "bert-base-uncased",
  "bias": "none",
  "exclude_modules": null,
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "layer_replication": null,
  "layers_pattern": null,
  "layers_to_transform": null,
  "loftq_config": {},
  "lora_alpha": 16,
  "lora_dropout": 0.05,
  "megatron_config": null,
  "megatron_core": "megatron.core",
  "modules_to_save": null,
  "peft_type": "LORA",
  "peft_version": "0.20.0",
  "r": 2,
  "rank_pattern": {},
  "revision": null,
  "target_modules": [
    "query",
    "output.dense"
  ],
  "task_type": null,
  "use_dora": false,
  "use_rslora": false
}
)");
  const SafetensorsFile file(folder.path() + "/adapter_model.safetensors");
  CHECK(file.tensors().size() == 4);
  CHECK(file.tensors().at("base_model.model." + kQuery + ".lora_A.weight").shape ==
        std::vector<int64_t>{2, 4});
  CHECK(file.tensors().at("base_model.model." + kQuery + ".lora_B.weight").shape ==
        std::vector<int64_t>{3, 2});
  const std::string card = content_of(folder.path() + "/README.md");
  CHECK(card.starts_with("---\nbase_model: \"bert-base-uncased\"\nlibrary_name: peft\n"));
  CHECK(card.find("- \"base_model:adapter:bert-base-uncased\"\n- lora\n") != std::string::npos);
}

TEST_CASE("without targets the modules themselves are listed; a hostile base stays one line") {
  const TemporaryFolder folder;
  Example example;
  example.config.target_modules.clear();
  example.config.all_linear = true;
  example.config.base_model_name_or_path = "a\"\n---\nb";
  example.config.base_model_class = "";
  example.config.lora_alpha = 1.5;
  write_adapter(folder.path(), example.config, {example.pairs(), {}});
  const Adapter adapter = read_adapter(folder.path());
  CHECK(adapter.config.target_modules == std::vector<std::string>{kOutput, kQuery});
  CHECK(adapter.config.base_model_name_or_path == "a\"\n---\nb");
  CHECK(adapter.config.base_model_class == "");
  CHECK(adapter.config.lora_alpha == 1.5);
  CHECK(content_of(folder.path() + "/README.md")
            .starts_with("---\nbase_model: \"a\\\"\\n---\\nb\"\nlibrary_name: peft\n"));
}

TEST_CASE("write_adapter refuses what could not be read back") {
  const TemporaryFolder folder;
  const auto error = [&](auto change) {
    Example example;
    std::vector<AdapterPairView> pairs = example.pairs();
    change(example, pairs);
    const std::string message = error_of([&] {
      write_adapter(folder.path(), example.config, {pairs, {}});
    });
    CHECK(std::filesystem::is_empty(folder.path()));
    return message.empty() ? "" : message.substr(folder.path().size() + 2);
  };
  using Pairs = std::vector<AdapterPairView>;
  CHECK(error([](Example&, Pairs& pairs) { pairs.clear(); }) == "an adapter without LoRA pairs");
  CHECK(error([](Example& e, Pairs&) { e.query_a[3] = NAN; }) ==
        "LoRA pair \"" + kQuery + "\": element 3 of A is nan");
  CHECK(error([](Example& e, Pairs&) { e.output_b[7] = -INFINITY; }) ==
        "LoRA pair \"" + kOutput + "\": element 7 of B is -inf");
  CHECK(error([](Example& e, Pairs&) { e.config.r = 3; }) ==
        "LoRA pair \"" + kOutput + "\": rank 2 of 4 x 5, expected rank 3 and positive sizes");
  CHECK(error([](Example&, Pairs& pairs) { pairs[0].module = "../x"; }) ==
        "LoRA pair \"../x\": not a module path");
  CHECK(error([](Example& e, Pairs&) { e.config.target_modules = {"query"}; }) ==
        "LoRA pair \"" + kOutput + "\": is not among target_modules");
  CHECK(error([](Example&, Pairs& pairs) { pairs[1].module = kOutput; }) != "");
}

/// A folder with a good adapter whose config or tensors a test replaces.
struct Broken {
  TemporaryFolder folder;
  Example example;
  Json config;

  Broken() {
    write_adapter(folder.path(), example.config, {example.pairs(), {}});
    config = Json::parse(content_of(folder.path() + "/adapter_config.json"), "config");
  }
  /// The message of reading after `text` (JSON) was set as `key`, from the key on.
  std::string with_key(const std::string& key, const std::string& text) {
    Json changed = config;
    changed.set(key, Json::parse(text, "value"));
    folder.write("adapter_config.json", changed.dump());
    const std::string message = read();
    const std::string start = folder.path() + "/adapter_config.json: ";
    return message.starts_with(start) ? message.substr(start.size()) : message;
  }
  std::string with_tensors(const std::vector<TensorToWrite>& tensors) {
    write_safetensors(folder.path() + "/adapter_model.safetensors", tensors);
    const std::string message = read();
    const std::string start = folder.path() + "/adapter_model.safetensors: ";
    CHECK(message.find('\n') == std::string::npos);
    return message.starts_with(start) ? message.substr(start.size()) : message;
  }
  std::string read() {
    return error_of([&] { read_adapter(folder.path()); });
  }
};

TEST_CASE("settings that would change the result are refused by key") {
  Broken broken;
  const std::vector<std::pair<std::string, std::string>> refused = {
      {"use_qalora", "true"},
      {"lora_bias", "true"},
      {"fan_in_fan_out", "true"},
      {"ensure_weight_tying", "true"},
      {"layer_replication", "[[0, 4], [2, 5]]"},
      {"target_parameters", R"(["w"])"},
      {"init_lora_weights", "\"pissa\""},
      {"init_lora_weights", "\"pissa_niter_16\""},
      {"init_lora_weights", "\"loftq\""},
  };
  for (const auto& [key, value] : refused) {
    CAPTURE(key);
    const std::string message = broken.with_key(key, value);
    CHECK(message.starts_with("/" + key + ": " + value));
    CHECK(message.size() > key.size() + value.size() + 10);
  }
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"modules_to_save", "[]"},
                                                        {"task_type", "\"FEATURE_EXTRACTION\""},
                                                        {"init_lora_weights", "\"gaussian\""},
                                                        {"init_lora_weights", "false"},
                                                        {"a_key_of_the_future", "{\"x\": 1}"},
                                                        {"target_modules", "\"all-linear\""},
                                                        {"target_modules", "\".*dense|.*query\""},
                                                        {"use_rslora", "true"},
                                                        {"alpha_pattern", "{\"query\": 4}"},
                                                        {"exclude_modules", "\"x\""},
                                                        {"target_modules", "null"},
                                                        {"auto_mapping", "null"},
                                                        {"base_model_name_or_path", "null"},
                                                        {"inference_mode", "false"}}) {
    CAPTURE(key);
    CHECK(broken.with_key(key, value) == "");
  }
}

TEST_CASE("ill-typed settings are refused by key") {
  Broken broken;
  CHECK(broken.with_key("peft_type", "\"IA3\"") == "/peft_type: expected \"LORA\", got \"IA3\"");
  CHECK(broken.with_key("peft_type", "null") == "/peft_type: expected a string, got null");
  CHECK(broken.with_key("r", "0") == "/r: expected 1 to 65536, got 0");
  CHECK(broken.with_key("r", "1e9") == "/r: expected 1 to 65536, got 1000000000");
  CHECK(broken.with_key("r", "\"2\"") == "/r: expected an integer, got \"2\"");
  CHECK(broken.with_key("lora_alpha", "[]") == "/lora_alpha: expected a number, got []");
  CHECK(broken.with_key("lora_dropout", "1") ==
        "/lora_dropout: expected a probability in [0, 1), got 1");
  CHECK(broken.with_key("target_modules", "[1]") == "/target_modules/0: expected a string, got 1");
  CHECK(broken.with_key("target_modules", "{}") == "/target_modules: expected an array, got {}");
  CHECK(broken.with_key("auto_mapping", "{\"base_model_class\": 1}") ==
        "/auto_mapping/base_model_class: expected a string, got 1");
}

TEST_CASE("tensors that do not make pairs of rank r are refused by name") {
  Broken broken;
  const Example& e = broken.example;
  const std::string stem = "base_model.model." + kQuery;
  const TensorToWrite a = {stem + ".lora_A.weight", DType::kF32, {2, 4}, e.query_a.data()};
  const TensorToWrite b = {stem + ".lora_B.weight", DType::kF32, {3, 2}, e.query_b.data()};
  CHECK(broken.with_tensors({a, b}) == "");
  CHECK(broken.with_tensors({}) == "holds no LoRA pair");
  CHECK(broken.with_tensors({a}) ==
        "tensor \"" + a.name + "\": its partner ending in .lora_B.weight is missing");
  CHECK(broken.with_tensors({b}) ==
        "tensor \"" + b.name + "\": its partner ending in .lora_A.weight is missing");
  const auto with_shape = [](TensorToWrite tensor, std::vector<int64_t> shape) {
    tensor.shape = std::move(shape);
    return tensor;
  };
  CHECK(broken.with_tensors({with_shape(a, {4, 2}), b}) ==
        "tensor \"" + a.name + "\": expected 2 rows (its rank in adapter_config.json), got 4");
  CHECK(broken.with_tensors({a, with_shape(b, {2, 3})}) ==
        "tensor \"" + b.name + "\": expected 2 columns (its rank in adapter_config.json), got 3");
  CHECK(broken.with_tensors({with_shape(a, {8}), b}).find("expected a matrix") !=
        std::string::npos);
  CHECK(broken.with_tensors({with_shape(a, {2, 0}), b}).find("expected a matrix") !=
        std::string::npos);
  TensorToWrite codes = a;
  codes.dtype = DType::kU8;
  CHECK(broken.with_tensors({codes, b}) ==
        "tensor \"" + a.name + "\": expected a floating type, got U8");
  broken.example.query_b[4] = INFINITY;
  CHECK(broken.with_tensors({a, b}) == "tensor \"" + b.name + "\": element 4 is inf");
  broken.example.query_b[4] = 0.0f;
  for (const std::string& name :
       {std::string("bert.x.lora_A.weight"), stem + ".lora_magnitude_vector", stem + ".lora_B.bias",
        stem + ".lora_A.default.weight", std::string("base_model.model.lora_A.weight"),
        std::string("base_model.model..lora_A.weight"),
        std::string("base_model.model.../../etc/x.lora_A.weight"),
        std::string("base_model.model.a..b.lora_A.weight"),
        std::string("base_model.model.a\n.lora_A.weight"),
        std::string("base_model.model.a b.lora_A.weight")}) {
    CAPTURE(name);
    TensorToWrite odd = a;
    odd.name = name;
    const std::string message = broken.with_tensors({odd, a, b});
    CHECK(message.starts_with("tensor " + Json(name).dump() + ": "));
  }
}

TEST_CASE("folders without an adapter say what is missing") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& path) { return error_of([&] { read_adapter(path); }); };
  const std::string path = folder.path();
  CHECK(error(path + "/none") == path + "/none: no such folder");
  CHECK(error(path) == path + ": no adapter here, expected adapter_config.json");
  folder.write("adapter_config.json", "{}");
  CHECK(error(path) ==
        path + ": no adapter weights, expected adapter_model.safetensors or adapter_model.bin");
}

TEST_CASE("an adapter_model.bin is read where there is no adapter_model.safetensors") {
  const std::string golden = QE_SOURCE_DIR "/tests/golden/";
  const TemporaryFolder folder;
  folder.write("adapter_config.json",
               content_of(golden + "families/electra/adapter/adapter_config.json"));
  folder.write("adapter_model.bin", content_of(golden + "torch_files/electra/adapter_model.bin"));
  const Adapter found = read_adapter(folder.path());
  const Adapter expected = read_adapter(golden + "families/electra/adapter");
  REQUIRE(found.pairs.size() == expected.pairs.size());
  for (size_t i = 0; i < found.pairs.size(); ++i) {
    CHECK(found.pairs[i].module == expected.pairs[i].module);
    CHECK(found.pairs[i].a == expected.pairs[i].a);
    CHECK(found.pairs[i].b == expected.pairs[i].b);
  }
  folder.write("adapter_model.bin", "x");
  CHECK(error_of([&] {
          read_adapter(folder.path());
        }).starts_with(folder.path() + "/adapter_model.bin: expected what torch.save writes"));
}

TEST_CASE("an adapter's files may not be links out of its folder") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const std::string good = folder.path() + "/good";
  fs::create_directory(good);
  const Example example;
  write_adapter(good, example.config, {example.pairs(), {}});
  CHECK(error_of([&] { read_adapter(good); }) == "");
  for (const std::string name : {"adapter_config.json", "adapter_model.safetensors"}) {
    const std::string linked = folder.path() + "/linked-" + name;
    fs::copy(good, linked);
    fs::remove(linked + "/" + name);
    fs::create_symlink("../good/" + name, linked + "/" + name);
    CHECK(error_of([&] {
            read_adapter(linked);
          }).starts_with(linked + ": \"" + name + "\" is a link that leaves the folder, to "));
    fs::remove(linked + "/" + name);
    fs::copy_file(good + "/" + name, linked + "/other");
    fs::create_symlink("other", linked + "/" + name);
    CHECK(error_of([&] { read_adapter(linked); }) == "");
  }
}

TEST_CASE("16-bit adapters are read as fp32") {
  Broken broken;
  const std::string stem = "base_model.model." + kQuery;
  const std::vector<uint16_t> ones(8, to_f16(1.0f)), twos(6, to_bf16(2.0f));
  CHECK(broken.with_tensors({{stem + ".lora_A.weight", DType::kF16, {2, 4}, ones.data()},
                             {stem + ".lora_B.weight", DType::kBF16, {3, 2}, twos.data()}}) == "");
  const Adapter adapter = read_adapter(broken.folder.path());
  CHECK(adapter.pairs[0].a == std::vector<float>(8, 1.0f));
  CHECK(adapter.pairs[0].b == std::vector<float>(6, 2.0f));
}

TEST_CASE("an adapter with patterns, a regular expression and rank stabilization") {
  const TemporaryFolder folder;
  Example example;
  AdapterConfig& config = example.config;
  config.target_modules.clear();
  config.target_regex = ".*(query|output\\.dense)";
  config.exclude_modules = {"cls"};
  config.use_rslora = true;
  config.r = 3;
  config.rank_pattern = {{"query|output.dense", 2}};
  config.alpha_pattern = {{"query", 5}};
  config.init = AdapterConfig::Init::kGaussian;
  write_adapter(folder.path(), config, {example.pairs(), {}});
  const Json written = Json::parse_file(folder.path() + "/adapter_config.json");
  CHECK(written.at("target_modules").as_string() == config.target_regex);
  CHECK(written.at("rank_pattern").dump() == R"({"query|output.dense": 2})");
  CHECK(written.at("alpha_pattern").dump() == R"({"query": 5})");
  CHECK(written.at("exclude_modules").dump() == R"(["cls"])");
  CHECK(written.at("init_lora_weights").as_string() == "gaussian");
  CHECK(written.at("use_rslora").as_bool());
  const Adapter adapter = read_adapter(folder.path());
  CHECK(adapter.pairs[0].r == 2);
  const LoraTargets targets(adapter.config);
  CHECK(targets.scale(kQuery) == doctest::Approx(5 / std::sqrt(2.0)));
  CHECK(targets.scale(kOutput) == doctest::Approx(16 / std::sqrt(2.0)));
}

}  // namespace
}  // namespace qe
