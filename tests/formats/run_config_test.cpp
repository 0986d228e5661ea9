// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/run_config.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "formats/run_config_keys.h"
#include "kernels/core/error.h"

namespace {

using Overrides = std::vector<std::pair<std::string, std::string>>;

/// A config file that lives as long as the object.
struct ConfigFile {
  std::filesystem::path folder;
  std::string path;
  explicit ConfigFile(const std::string& text) {
    folder =
        std::filesystem::temp_directory_path() / ("qe_run_config_test." + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    path = (folder / "config.json").string();
    std::ofstream(path) << text;
  }
  ~ConfigFile() { std::filesystem::remove_all(folder); }
};

qe::RunConfig read(const std::string& json, const Overrides& overrides = {}) {
  const ConfigFile file(json);
  return qe::read_run_config(file.path, overrides);
}

/// The message of the error that reading gives, without the folder of the file.
std::string error_of(const std::string& json, const Overrides& overrides = {}) {
  const ConfigFile file(json);
  try {
    qe::read_run_config(file.path, overrides);
  } catch (const qe::Error& error) {
    std::string text = error.what();
    const std::string folder = file.folder.string() + "/";
    for (size_t at = text.find(folder); at != std::string::npos; at = text.find(folder))
      text.erase(at, folder.size());
    return text;
  }
  return "no error";
}

std::string error_of_override(const std::string& key, const std::string& value) {
  return error_of("{}", {{key, value}});
}

std::string origin_of(const qe::RunConfig& config, const std::string& key) {
  for (const auto& origin : config.origins)
    if (origin.key == key)
      return origin.value + " <- " + std::filesystem::path(origin.origin).filename().string();
  return "missing";
}

}  // namespace

TEST_CASE("defaults are run_mlm.py's, and qlora.py's where only it has the key") {
  const qe::RunConfig config = qe::read_run_config("", {});
  CHECK(config.learning_rate == 5e-5);
  CHECK(config.per_device_train_batch_size == 8);
  CHECK(config.num_train_epochs == 3.0);
  CHECK(config.max_grad_norm == 1.0);
  CHECK(config.seed == 42);
  CHECK(config.bits == 4);
  CHECK(config.quant_type == "nf4");
  CHECK(config.double_quant);
  CHECK(config.lora_r == 64);
  CHECK(config.lora_alpha == 16.0);
  CHECK(config.target_modules.as_string() == "all-linear");
  CHECK(origin_of(config, "learning_rate") == "5e-05 <- default (run_mlm.py)");
  CHECK(origin_of(config, "lora_r") == "64 <- default (qlora.py)");
  CHECK(origin_of(config, "threads") == "0 <- default (qlora-engine)");
  CHECK(config.notes.empty());
}

TEST_CASE("the file sets values, the command line wins, origins tell") {
  const auto config = read(
      R"({"learning_rate": 0.001, "max_steps": 300, "line_by_line": true, "seed": 7,
          "target_modules": ["query", "value"], "max_train_samples": null})",
      {{"learning_rate", "2e-3"}, {"lora_alpha", "32"}, {"double_quant", "False"}});
  CHECK(config.learning_rate == 2e-3);
  CHECK(config.max_steps == 300);
  CHECK(config.line_by_line);
  CHECK(config.seed == 7);
  CHECK(config.lora_alpha == 32.0);
  CHECK_FALSE(config.double_quant);
  CHECK(config.target_modules.dump() == R"(["query", "value"])");
  CHECK(origin_of(config, "learning_rate") == "0.002 <- --learning_rate");
  CHECK(origin_of(config, "max_steps") == "300 <- config.json");
  CHECK(origin_of(config, "target_modules") == "[\"query\", \"value\"] <- config.json");
  CHECK(origin_of(config, "max_train_samples") == "0 <- default (run_mlm.py)");
}

TEST_CASE("every setting can be given on the command line as plan prints it") {
  const qe::RunConfig config = qe::read_run_config("", {});
  REQUIRE(config.origins.size() == qe::run_config_keys().size());
  for (const auto& origin : config.origins) {
    std::string text = origin.value;
    if (text.front() == '"') text = text.substr(1, text.size() - 2);
    const auto again = qe::read_run_config("", {{origin.key, text}});
    const auto same = std::find_if(again.origins.begin(), again.origins.end(),
                                   [&](const auto& other) { return other.key == origin.key; });
    REQUIRE(same != again.origins.end());
    CHECK(same->value == origin.value);
    CHECK(same->origin == "--" + origin.key);
  }
}

TEST_CASE("LoRA settings in their forms") {
  const auto targets = [](const std::string& text) {
    return read("{}", {{"target_modules", text}}).target_modules.dump();
  };
  CHECK(targets("all-linear") == "\"all-linear\"");
  CHECK(targets("query,value") == R"(["query", "value"])");
  CHECK(targets("query") == R"(["query"])");
  CHECK(targets("attention.self.query") == R"(["attention.self.query"])");
  CHECK(targets(R"(["query"])") == R"(["query"])");
  CHECK(targets(".*\\.query") == R"(".*\\.query")");
  CHECK(targets("qlora") == "\"qlora\"");
  CHECK(qe::lora_config_of(read(R"({"target_modules": "All-Linear"})")).all_linear);
  CHECK(qe::lora_config_of(read(R"({"target_modules": "que.*"})")).target_regex == "que.*");
  // Later values replace earlier ones whole.
  const auto config = read(R"({"target_modules": ["query"]})", {{"target_modules", "all-linear"}});
  CHECK(config.target_modules.dump() == "\"all-linear\"");
  CHECK(error_of(R"({"target_modules": []})") ==
        "config.json: /target_modules: expected a list of non-empty names, got []");
  CHECK(error_of(R"({"target_modules": [1]})") ==
        "config.json: /target_modules: expected a list of non-empty names, got [1]");
  CHECK(error_of(R"({"target_modules": 1})") ==
        "config.json: /target_modules: expected a list of names or a text, got 1");
  CHECK(error_of_override("target_modules", "query,,value") ==
        "--target_modules: expected a list of non-empty names, got \"query,,value\"");
  CHECK(error_of(R"({"target_modules": "(?!.*key).*"})") ==
        "config.json: /target_modules: pattern \"(?!.*key).*\": look-ahead and look-behind are not "
        "supported: invalid perl operator: (?!");
  CHECK(error_of_override("target_modules", "(a").find("--target_modules: ") == 0);

  const auto lora = qe::lora_config_of(
      read(R"({"lora_r": 4, "use_rslora": true, "target_modules": ["query"],
               "layers_to_transform": [0, 3], "exclude_modules": ["x"],
               "rank_pattern": {"query": 2}, "init_lora_weights": "gaussian"})",
           {{"alpha_pattern", R"({"query": 32})"}, {"layers_pattern", "layer"}}));
  CHECK(lora.r == 4);
  CHECK(lora.use_rslora);
  CHECK(lora.layers_to_transform == std::vector<int64_t>{0, 3});
  CHECK(lora.layers_pattern == std::vector<std::string>{"layer"});
  CHECK(lora.rank_pattern.at(0).second == 2);
  CHECK(lora.alpha_pattern.at(0).second == 32);
  CHECK(lora.init == qe::AdapterConfig::Init::kGaussian);
  CHECK(read("{}", {{"target_modules", "query"}, {"layers_to_transform", "1,2"}})
            .layers_to_transform.dump() == "[1, 2]");
  CHECK(
      error_of(R"({"layers_to_transform": ["a"]})") ==
      "config.json: /layers_to_transform: expected an integer or a list of integers, got [\"a\"]");
  CHECK(error_of(R"({"layers_to_transform": 1})")
            .find("config.json: /layers_to_transform: needs target_modules to be a list") == 0);
  CHECK(read("{}", {{"init_lora_weights", "False"}}).init_lora_weights.dump() == "false");
  CHECK(error_of(R"({"init_lora_weights": "eva"})") ==
        "config.json: /init_lora_weights: \"eva\": not supported: use true, pissa or olora");
  for (const char* name : {"pissa", "pissa_niter_0", "pissa_niter_128", "olora"}) {
    CHECK(read("{}", {{"init_lora_weights", name}}).init_lora_weights.as_string() == name);
  }
  for (const char* name : {"pissa_niter_", "pissa_niter_1000", "pissa_niter_1x", "pissa_niter"}) {
    CHECK(error_of(std::string(R"({"init_lora_weights": ")") + name + "\"}")
              .find("expected one of true") != std::string::npos);
  }
  CHECK(error_of(R"({"init_lora_weights": 1})").find("expected one of true, false, gaussian") !=
        std::string::npos);
  CHECK(error_of(R"({"rank_pattern": {"query": 0}})") ==
        "config.json: /rank_pattern/query: expected 1 to 65536, got 0");
}

TEST_CASE("objects and values that may be absent") {
  const auto config = read(R"({"lr_scheduler_kwargs": {"num_cycles": 2}, "data_seed": 5})");
  CHECK(config.lr_scheduler_kwargs.at("num_cycles").as_int() == 2);
  CHECK(config.lr_scheduler_kwargs.at("num_cycles")
            .where()
            .ends_with("config.json: /lr_scheduler_kwargs/num_cycles"));
  CHECK(config.data_seed == 5);
  CHECK(origin_of(config, "lr_scheduler_kwargs") == "{\"num_cycles\": 2} <- config.json");
  CHECK(origin_of(read("{}"), "data_seed") == "null <- default (run_mlm.py)");
  CHECK(read("{}", {{"lr_scheduler_kwargs", R"({"power": 2.0})"}})
            .lr_scheduler_kwargs.at("power")
            .as_double() == 2.0);
  CHECK(error_of(R"({"lr_scheduler_kwargs": [1]})") ==
        "config.json: /lr_scheduler_kwargs: expected an object, got [1]");
  CHECK(error_of_override("lr_scheduler_kwargs", "power=2").find("--lr_scheduler_kwargs") == 0);
  CHECK(error_of(R"({"lr_scheduler_type": "reduce_lr_on_plateau"})") ==
        "config.json: lr_scheduler_type: reduce_lr_on_plateau needs evaluations: set "
        "eval_strategy");
}

TEST_CASE("unknown keys name the nearest known one") {
  CHECK(error_of("{\"resume_\\rfrom\": 1}").find("config.json: /resume_\\rfrom: unknown key") == 0);
  CHECK(error_of("{\"" + std::string(1 << 20, 'x') + "\": 1}").size() < 300);
  CHECK(error_of(R"({"learning_rat": 1})") ==
        "config.json: /learning_rat: unknown key; did you mean \"learning_rate\"?");
  CHECK(error_of(R"({"laerning_rate": 1})") ==
        "config.json: /laerning_rate: unknown key; did you mean \"learning_rate\"?");
  CHECK(error_of_override("lora_rank", "4") ==
        "--lora_rank: unknown key; did you mean \"lora_r\"?");
  CHECK(error_of_override("Bits", "4") == "--Bits: unknown key; did you mean \"bits\"?");
  CHECK(error_of_override("model_name", "x") ==
        "--model_name: unknown key; did you mean \"model_name_or_path\"?");
}

TEST_CASE("ill-typed values name place, expectation and finding") {
  CHECK(error_of(R"({"learning_rate": "abc"})") ==
        "config.json: /learning_rate: expected a number, got \"abc\"");
  CHECK(error_of(R"({"learning_rate": "2e-4"})") ==
        "config.json: /learning_rate: expected a number, got \"2e-4\"");
  CHECK(error_of(R"({"max_steps": 1.5})") ==
        "config.json: /max_steps: expected an integer, got 1.5");
  CHECK(error_of(R"({"max_steps": [1]})") ==
        "config.json: /max_steps: expected an integer, got [1]");
  CHECK(error_of(R"({"line_by_line": 1})") ==
        "config.json: /line_by_line: expected true or false, got 1");
  CHECK(error_of(R"({"train_file": true})") ==
        "config.json: /train_file: expected a text, got true");
  CHECK(error_of("[1]") == "config.json: expected a JSON object with settings");
  for (const char* text : {"abc", "", "1e-4x", " 1", "+1", "nan", "inf", "0x10", "1,5"})
    CHECK(error_of_override("learning_rate", text) ==
          "--learning_rate: expected a number, got \"" + std::string(text) + "\"");
  for (const char* text : {"1.5", "x", "", "99999999999999999999", "1e40"})
    CHECK(error_of_override("max_steps", text) ==
          "--max_steps: expected an integer, got \"" + std::string(text) + "\"");
  CHECK(read("{}", {{"max_steps", "1e3"}}).max_steps == 1000);
  CHECK(read(R"({"max_steps": 300.0})").max_steps == 300);
  CHECK(error_of_override("line_by_line", "maybe") ==
        "--line_by_line: expected true or false, got \"maybe\"");
}

TEST_CASE("ranges are checked") {
  CHECK(error_of(R"({"mlm_probability": 1.5})") ==
        "config.json: /mlm_probability: expected a number in (0, 1], got 1.5");
  CHECK(error_of(R"({"mlm_probability": 0})") ==
        "config.json: /mlm_probability: expected a number in (0, 1], got 0");
  CHECK(error_of(R"({"lora_dropout": 1})") ==
        "config.json: /lora_dropout: expected a number in [0, 1), got 1");
  CHECK(error_of(R"({"per_device_train_batch_size": 0})") ==
        "config.json: /per_device_train_batch_size: expected an integer in [1, 1048576], "
        "got 0");
  CHECK(error_of(R"({"max_steps": -2})") ==
        "config.json: /max_steps: expected an integer of at least -1, got -2");
  CHECK(error_of(R"({"lora_alpha": 0})") ==
        "config.json: /lora_alpha: expected a number above 0, got 0");
  CHECK(error_of(R"({"quant_block_size": 96})") ==
        "config.json: /quant_block_size: expected a power of two in [32, 4096], got 96");
  CHECK(error_of(R"({"quant_block_size": 16})") ==
        "config.json: /quant_block_size: expected an integer in [32, 4096], got 16");
  CHECK(error_of(R"({"save_steps": 2.5})") ==
        "config.json: /save_steps: expected a whole number of steps, or a ratio below 1, got 2.5");
  CHECK(read(R"({"save_steps": 0.1, "logging_steps": 0.5})").eval_steps == 0.5);
  CHECK(error_of(R"({"mask_replace_prob": 0.9, "random_replace_prob": 0.2})") ==
        "config.json: mask_replace_prob + random_replace_prob: expected at most 1, got 0.9 + 0.2");
  CHECK(read(R"({"mask_replace_prob": 0.9, "random_replace_prob": 0.1})").mask_replace_prob == 0.9);
  CHECK(error_of(R"({"seed": -1})") ==
        "config.json: /seed: expected an integer of at least 0, got -1");
}

TEST_CASE("values of other releases are refused by name") {
  CHECK(error_of(R"({"bits": 8})") ==
        "config.json: /bits: 8: 8-bit weights are not supported: use 4, or 16 to keep the base "
        "unquantized");
  CHECK(error_of(R"({"bits": 7})") == "config.json: /bits: expected one of 4, 16, 32, got 7");
  CHECK(error_of_override("quant_type", "int4") ==
        "--quant_type: expected one of nf4, fp4, got \"int4\"");
  CHECK(error_of_override("lr_scheduler_type", "greedy") ==
        "--lr_scheduler_type: \"greedy\": it follows the noise of single losses: use "
        "reduce_lr_on_plateau");
  CHECK(error_of_override("optim", "lion_8bit") ==
        "--optim: \"lion_8bit\": adapters are trained with AdamW here: use adamw_torch, "
        "paged_adamw_32bit or adamw_bnb_8bit");
  for (const char* name : {"adamw_torch", "adamw_torch_fused", "adamw_bnb_32bit", "paged_adamw",
                           "paged_adamw_32bit", "adamw_bnb_8bit", "adamw_8bit", "paged_adamw_8bit"})
    CHECK(read("{}", {{"optim", name}}).optim == name);
}

TEST_CASE("three keys name the compute type, and may not contradict each other") {
  CHECK(read("{}").compute_dtype == "auto");
  CHECK(read(R"({"bnb_4bit_compute_dtype": "bfloat16"})").compute_dtype == "bf16");
  CHECK(read(R"({"fp16": true, "compute_dtype": "float16"})").compute_dtype == "fp16");
  CHECK(error_of(R"({"fp16": true, "compute_dtype": "bf16"})") ==
        "config.json: fp16: true contradicts compute_dtype bf16");
  CHECK(error_of(R"({"fp16": true, "bf16": true})") ==
        "config.json: fp16: true contradicts compute_dtype bf16");
}

TEST_CASE("max_memory_MB: megabytes, or a size with a unit") {
  CHECK(read("{}").max_memory_MB == 0);
  CHECK(read(R"({"max_memory_MB": 80000})").max_memory_MB == 80000);
  CHECK(read(R"({"memory": "8GB"})").max_memory_MB == 8000);
  for (const auto& [text, bytes] : {std::pair{"8GiB", 8589934592.0},
                                    {"8 gb", 8e9},
                                    {"512MiB", 536870912.0},
                                    {"7500MB", 7.5e9},
                                    {"64", 64e6}}) {
    CHECK(read("{}", {{"memory", text}}).max_memory_MB * 1e6 == doctest::Approx(bytes));
  }
  for (const char* bad : {"8TB", "GB", "-1GB", "8 GB free", "nan"}) {
    CHECK_THROWS_AS(read("{}", {{"max_memory_MB", bad}}), qe::Error);
  }
  CHECK(error_of(R"({"max_memory_MB": true})").find("expected a size") != std::string::npos);
}

TEST_CASE("keys of other trainers pass, are noted or refused") {
  const auto config = read(R"({"do_train": true, "report_to": "none", "bf16": true, "fp16": false,
                               "skip_memory_metrics": false, "deepspeed": null,
                               "full_finetune": false, "lr_scheduler_kwargs": {}})");
  REQUIRE(config.notes.size() == 2);
  CHECK(config.compute_dtype == "bf16");
  const auto ends = [](const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
  };
  CHECK(ends(config.notes[0],
             "/do_train does nothing here: the command (train, eval ...) says what is done"));
  CHECK(error_of(R"({"full_finetune": true})") ==
        "config.json: /full_finetune: true is refused: the base stays frozen: this engine trains "
        "adapters");
  CHECK(error_of(R"({"deepspeed": "zero3.json"})") ==
        "config.json: /deepspeed: \"zero3.json\" is refused: this release trains on one device");
  CHECK(error_of_override("load_in_8bit", "True") ==
        "--load_in_8bit: \"True\" is refused: 8-bit weights are not supported: use bits: 4");
}

TEST_CASE("report_to: TensorBoard, others are noted, unknown ones refused") {
  const auto asked = [](const std::string& value) {
    return reports_to_tensorboard(read("{\"report_to\": " + value + "}"));
  };
  for (const char* yes :
       {"\"tensorboard\"", "\"all\"", "[\"all\"]", "[\"wandb\", \"tensorboard\"]"})
    CHECK(asked(yes));
  for (const char* no : {"null", "\"none\"", "[\"none\"]", "[]", "\"wandb\""})
    CHECK_FALSE(asked(no));
  CHECK_FALSE(reports_to_tensorboard(read("{}")));
  CHECK(reports_to_tensorboard(read("{}", {{"report_to", "wandb,tensorboard"}})));
  const auto noted = read(R"({"report_to": ["tensorboard", "wandb"]})").notes;
  REQUIRE(noted.size() == 1);
  CHECK(noted[0].ends_with(
      "config.json: report_to: wandb does nothing here: nothing is sent anywhere"));
  CHECK(error_of(R"({"report_to": "tensorbord"})") ==
        "config.json: report_to: expected none, all, tensorboard or a list of them, got "
        "\"tensorbord\"");
  CHECK(error_of(R"({"report_to": 3})").find("expected a list of names or a text") !=
        std::string::npos);
}

TEST_CASE("aliases set the setting they stand for") {
  const auto config = read(R"({"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": false,
                               "evaluation_strategy": "steps", "eval_steps": 50})");
  CHECK(config.quant_type == "fp4");
  CHECK_FALSE(config.double_quant);
  CHECK(config.eval_strategy == "steps");
  CHECK(config.eval_steps == 50);
  CHECK(origin_of(config, "quant_type") == "\"fp4\" <- config.json (bnb_4bit_quant_type)");
  CHECK(read(R"({"resume_from_checkpoint": true})").resume == "auto");
  CHECK(read(R"({"resume_from_checkpoint": false})").resume == "no");
  CHECK(read(R"({"resume_from_checkpoint": "out/checkpoint-5"})").resume == "out/checkpoint-5");
}

TEST_CASE("values of keys that are values of others") {
  CHECK(read(R"({"group_by_length": true})").train_sampling_strategy == "group_by_length");
  CHECK(read(R"({"group_by_length": false})").train_sampling_strategy == "random");
  CHECK(read("{}", {{"load_in_4bit", "True"}, {"bits", "4"}}).bits == 4);
  const auto config = read(R"({"load_in_4bit": false})");
  CHECK(config.bits == 16);
  CHECK(origin_of(config, "bits") == "16 <- config.json (load_in_4bit)");
  CHECK(error_of(R"({"group_by_length": 3})") ==
        "config.json: /group_by_length: expected one of true, false, got 3");
}

TEST_CASE("whole_word_mask sets how words are replaced, and says so") {
  const auto config = read(R"({"whole_word_mask": true, "mask_replace_prob": 0.5})");
  CHECK(config.mask_replace_prob == 1.0);
  CHECK(config.random_replace_prob == 0.0);
  REQUIRE(config.notes.size() == 1);
  CHECK(config.notes[0].find("mask_replace_prob 1, random_replace_prob 0") != std::string::npos);
  CHECK(origin_of(config, "mask_replace_prob") == "1.0 <- whole_word_mask, as transformers 5");
}

TEST_CASE("span_mask leaves the ratios alone, and is not for whole_word_mask too") {
  const auto config = read(R"({"span_mask": true, "mask_replace_prob": 0.5})");
  CHECK(config.mask_replace_prob == 0.5);
  CHECK(config.notes.empty());
  CHECK(error_of(R"({"span_mask": true, "whole_word_mask": true})") ==
        "config.json: span_mask: spans are of whole words already: leave out whole_word_mask");
  CHECK(error_of(R"({"span_geometric_p": 0})")
            .find("span_geometric_p: expected a number in (0, 1]") != std::string::npos);
}

TEST_CASE("batches are sized by tokens or by sequences; a masking rate needs an end to change") {
  const auto config = read(R"({"preset": "qlora", "per_device_train_batch_tokens": 4096})");
  CHECK(config.per_device_train_batch_tokens == 4096);
  for (const auto& [key, value] :
       {std::pair{"per_device_train_batch_size", "8"}, std::pair{"per_gpu_train_batch_size", "8"},
        std::pair{"dataloader_drop_last", "true"}}) {
    const std::string named =
        std::string(key).starts_with("per_gpu") ? "per_device_train_batch_size" : key;
    CHECK(
        error_of(
            qe::cat(R"({"per_device_train_batch_tokens": 4096, ")", key, "\": ", value, "}")) ==
        "config.json: per_device_train_batch_tokens: batches have as many sequences as fit: leave "
        "out " +
            named);
  }
  CHECK(!read("{}").mlm_probability_end);
  CHECK(read(R"({"mlm_probability_end": 0.3})").mlm_probability_end == 0.3);
  CHECK(!read("{}", {{"mlm_probability_end", "null"}}).mlm_probability_end);
  const auto noted = read(R"({"mlm_probability_schedule": "cosine"})");
  REQUIRE(noted.notes.size() == 1);
  CHECK(noted.notes[0].find("mlm_probability_end is not set") != std::string::npos);
  CHECK(error_of(R"({"mlm_probability_end": 0})").find("expected a number in (0, 1]") !=
        std::string::npos);
}

TEST_CASE("preset qlora lies below file and command line") {
  const auto config = read(R"({"learning_rate": 0.001, "preset": "qlora"})", {{"max_steps", "5"}});
  CHECK(config.learning_rate == 0.001);
  CHECK(config.max_steps == 5);
  CHECK(config.gradient_accumulation_steps == 16);
  CHECK(config.max_grad_norm == 0.3);
  CHECK(config.lr_scheduler_type == "constant");
  CHECK(config.train_sampling_strategy == "group_by_length");
  CHECK(config.target_modules.dump() == "\"qlora\"");
  CHECK(config.optim == "paged_adamw_32bit");
  CHECK(config.warmup_ratio == 0.03);
  CHECK(config.save_total_limit == 40);
  CHECK(config.gradient_checkpointing);
  CHECK(origin_of(config, "max_grad_norm") == "0.3 <- preset \"qlora\"");
  CHECK(error_of(R"({"preset": "lora"})") ==
        "config.json: /preset: expected one of qlora, got \"lora\"");
}

TEST_CASE("every key of run_mlm.py, qlora.py, TrainingArguments, peft and bitsandbytes is known") {
  std::set<std::string> known;
  for (const auto& row : qe::run_config::settings()) known.insert(row.key);
  for (const auto& row : qe::run_config::aliases()) known.insert(row.name);
  for (const auto& row : qe::run_config::translations()) known.insert(row.key);
  for (const auto& row : qe::run_config::foreign_keys()) known.insert(row.key);
  const qe::Json golden =
      qe::Json::parse_file(std::string(QE_SOURCE_DIR) + "/tests/golden/settings/keys.json");
  CHECK(golden.at("keys").items().size() > 250);
  for (const qe::Json& key : golden.at("keys").items()) {
    CAPTURE(key.as_string());
    CHECK(known.count(key.as_string()) == 1);
  }
  for (const auto& row : qe::run_config::foreign_keys()) {
    CAPTURE(row.key);
    CHECK(std::string(row.why).size() > 10);
    CHECK(std::string(row.why).find("not supported yet") == std::string::npos);
  }
}

TEST_CASE("the tables are consistent") {
  std::set<std::string> names = {"preset"};
  for (const auto& row : qe::run_config::settings()) CHECK(names.insert(row.key).second);
  const std::set<std::string> settings = names;
  for (const auto& row : qe::run_config::aliases()) {
    CHECK(names.insert(row.name).second);
    CHECK(settings.count(row.key) == 1);
  }
  std::set<std::string> translated;
  for (const auto& row : qe::run_config::translations()) {
    translated.insert(row.key);
    if (row.setting) CHECK(settings.count(row.setting) == 1);
  }
  for (const auto& key : translated) CHECK(names.insert(key).second);
  for (const auto& row : qe::run_config::foreign_keys()) CHECK(names.insert(row.key).second);
  for (const auto& row : qe::run_config::refused_values()) CHECK(settings.count(row.key) == 1);
  for (const auto& key : qe::run_config_keys()) {
    CAPTURE(key.key);
    CHECK_FALSE(key.help.empty());
    CHECK_FALSE(key.type.empty());
  }
}
