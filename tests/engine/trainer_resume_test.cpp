// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Runs that are stopped and go on, their checkpoints, and the best of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "engine/train/trainer.h"
#include "formats/manifest.h"
#include "tests/support/random_run.h"

namespace qe {

namespace fs = std::filesystem;

using test::adapter_bytes, test::random_run, test::run, test::run_until;

DEVICE_TEST_CASE("trainer: stopping at any step and resuming gives the bytes of never stopping") {
  const TemporaryFolder folder;
  const RunConfig whole = random_run(folder, "whole");
  run(whole);
  const auto losses_of = [](const std::string& output_dir) {
    const Json state = Json::parse_file(output_dir + "/trainer_state.json");
    return state.at("log_history").dump();
  };
  for (int64_t stop_at = 1; stop_at < whole.max_steps; ++stop_at) {
    CAPTURE(stop_at);
    const RunConfig config = random_run(folder, "stopped" + std::to_string(stop_at));
    const TrainResult first = run_until(config, stop_at);
    CHECK(first.stopped);
    CHECK(first.steps == stop_at);
    const TrainResult second = run(config);
    CHECK(second.first_step == stop_at);
    CHECK(second.steps == whole.max_steps);
    CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
    CHECK(losses_of(config.output_dir) == losses_of(whole.output_dir));
  }
}

DEVICE_TEST_CASE("trainer: what is trained in full goes on with the same bytes, in groups") {
  const TemporaryFolder folder;
  for (const std::string optim : {"adamw_torch", "paged_adamw_8bit"}) {
    const bool tokens = optim == "adamw_torch";
    const auto config_of = [&](const std::string& name) {
      RunConfig config = random_run(folder, name + optim);
      config.optim = optim;
      config.bias = "all";
      config.modules_to_save = Json::array();
      for (const char* module : {"1.output.dense", "0.attention.output.LayerNorm"}) {
        config.modules_to_save.push_back(module);
      }
      if (tokens) {
        config.trainable_token_indices = Json::parse("[4, 80, 81]", "test");
      } else {
        for (const char* module : {"cls", "word_embeddings", "position_embeddings"})
          config.modules_to_save.push_back(module);
      }
      config.neftune_noise_alpha = 5.0;
      config.use_dora = true;
      config.loraplus_lr_ratio = 4.0;
      config.weight_decay = 0.1;
      config.max_steps = 5;
      return config;
    };
    const RunConfig whole = config_of("whole");
    run(whole);
    const RunConfig stopped = config_of("stopped");
    run_until(stopped, 2);
    RunConfig other = stopped;
    other.loraplus_lr_ratio = 2.0;
    CHECK(error_of([&] { run(other); }).find("was made with loraplus_lr_ratio = 4") !=
          std::string::npos);
    other = stopped;
    other.bias = "lora_only";
    CHECK(error_of([&] { run(other); }).find("was made with bias = \"all\"") != std::string::npos);
    CHECK(run(stopped).first_step == 2);
    CHECK(adapter_bytes(stopped.output_dir) == adapter_bytes(whole.output_dir));
  }
}

DEVICE_TEST_CASE("trainer: with timed products a resume gives the bytes of the run that went on") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.deterministic = false;
    config.save_strategy = "steps";
    config.save_steps = 4;
    return config;
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  const std::string checkpoint = whole.output_dir + "/checkpoint-4";
  const auto warnings_of = [&](const std::string& name, const std::string& resumed) {
    RunConfig config = config_of(name);
    config.resume = resumed;
    std::string warnings;
    const Log log([&](LogLevel level, const std::string& line) {
      if (level == LogLevel::kWarning) warnings += line + "\n";
    });
    Trainer trainer(config, Trainer::Task::kTrain, false, log);
    CHECK(trainer.train({}).first_step == 4);
    if (resumed == checkpoint) {
      CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
    }
    return warnings;
  };
  CHECK(warnings_of("resumed", checkpoint) == "");

  // The same with choices of elsewhere, and on a GPU also with none.
  const std::string other = folder.path() + "/other";
  std::filesystem::copy(checkpoint, other);
  Json state = Json::parse_file(other + "/trainer_state.json");
  Json ours = state.at("qlora_engine");
  const std::string choices = ours.at("kernel_choices").as_string();
  CHECK(choices.empty() == !test::on_gpu());
  const auto with = [&](const std::string& text) {
    ours.set("kernel_choices", text);
    state.set("qlora_engine", ours);
    folder.write("other/trainer_state.json", state.dump(2));
    write_manifest(other, Json::object());
    return warnings_of("other" + std::to_string(text.size()), other);
  };
  const std::string refusal = "resume is not bit-exact here: ";
  CHECK(with("another library\n" + choices).find(refusal) == 0);
  CHECK((with("").find(refusal) == 0) == test::on_gpu());
}

TEST_CASE("trainer: the newest whole checkpoint wins; broken ones are named, with the reason") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.max_steps = 5;
    config.save_strategy = "steps";
    config.save_steps = 1;
    return config;
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  // What is done to the newest checkpoint, and what is said of it.
  const std::tuple<const char*, std::function<void(const std::string&)>, const char*> damages[] = {
      {"truncated",
       [](const std::string& path) {
         std::filesystem::resize_file(path + "/optimizer.safetensors", 1000);
       },
       "optimizer.safetensors: expected "},
      {"flipped",
       [](const std::string& path) {
         std::string bytes = content_of(path + "/adapter_model.safetensors");
         bytes[bytes.size() / 2] ^= 1;
         std::ofstream(path + "/adapter_model.safetensors", std::ios::binary) << bytes;
       },
       "adapter_model.safetensors: its content is not what was written"},
      {"missing",
       [](const std::string& path) { std::filesystem::remove(path + "/trainer_state.json"); },
       "trainer_state.json: is missing"},
      {"unlisted",
       [](const std::string& path) { std::filesystem::remove(path + "/manifest.json"); },
       "there is no manifest.json"},
      {"empty", [](const std::string& path) { std::ofstream(path + "/manifest.json").flush(); },
       "manifest.json"},
  };
  for (const auto& [name, damage, reason] : damages) {
    CAPTURE(name);
    RunConfig config = config_of(name);
    std::filesystem::copy(whole.output_dir, config.output_dir,
                          std::filesystem::copy_options::recursive);
    damage(config.output_dir + "/checkpoint-5");
    damage(config.output_dir + "/checkpoint-4");
    std::string warnings;
    const Log log([&](LogLevel level, const std::string& line) {
      if (level == LogLevel::kWarning) warnings += line + "\n";
    });
    {
      Trainer trainer(config, Trainer::Task::kTrain, false, log);
      CHECK(trainer.train({}).first_step == 3);
    }
    for (const char* step : {"5", "4"}) {
      CHECK(warnings.find("passed over " + config.output_dir + "/checkpoint-" + step +
                          ", which is broken: " + config.output_dir + "/checkpoint-" + step) !=
            std::string::npos);
    }
    CHECK(warnings.find(reason) != std::string::npos);
    CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
    CHECK(run(config).first_step == 5);  // it was written again, over the broken one
    damage(config.output_dir + "/checkpoint-2");
    config.resume = config.output_dir + "/checkpoint-2";
    CHECK(error_of([&] { run(config); }).find(reason) != std::string::npos);
  }
}

TEST_CASE("trainer: metrics.jsonl goes on after a resume, also where a line was torn") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "out");
  run_until(config, 4);
  const std::string path = config.output_dir + "/metrics.jsonl";
  std::ofstream(path, std::ios::app) << R"({"step": 5, "epoch": 0.1})"
                                     << "\n"
                                     << R"({"step": 6, "ep)";
  run(config);
  std::ifstream lines(path);
  int64_t n = 0;
  for (std::string line; std::getline(lines, line);) {
    CHECK(Json::parse(line, path).at("step").as_int() == ++n);
  }
  CHECK(n == config.max_steps);
}

TEST_CASE("trainer: event files of the log; a resumed run adds one to its folder") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "out");
  config.logging_steps = 2;
  config.eval_strategy = "steps";
  config.eval_steps = 3;
  run(config);
  CHECK_FALSE(fs::exists(config.output_dir + "/runs"));  // nobody asked

  config = random_run(folder, "asked");
  config.report_to = "tensorboard";
  config.logging_steps = 2;
  config.eval_strategy = "steps";
  config.eval_steps = 3;
  run_until(config, 4);
  run(config);
  std::vector<std::string> runs, files;
  for (const auto& entry : fs::directory_iterator(config.output_dir + "/runs")) {
    runs.push_back(entry.path().string());
  }
  REQUIRE(runs.size() == 1);
  for (const auto& entry : fs::directory_iterator(runs[0])) files.push_back(entry.path().string());
  REQUIRE(files.size() == 2);
  std::sort(files.begin(), files.end());
  const auto count = [](const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
  };
  const std::string first = content_of(files[0]), second = content_of(files[1]);
  for (const char* tag : {"train/loss", "train/learning_rate", "train/grad_norm"}) {
    CAPTURE(tag);
    CHECK(count(first, tag) == 2);   // updates 2 and 4
    CHECK(count(second, tag) == 5);  // 6 to 14
  }
  CHECK(count(first, "eval/loss\x15") == 1);   // update 3
  CHECK(count(second, "eval/loss\x15") == 4);  // 6, 9, 12, and 14 at the end
  CHECK(count(first, "train/train_loss") == 0);
  CHECK(count(second, "train/train_loss") == 1);
  const std::string start{":\x02\x08\x01"};  // SessionLog START
  CHECK(count(first, start) == 0);
  CHECK(count(second, "\x10\x05" + start) == 1);  // at update 5

  config.output_dir = folder.path() + "/elsewhere";
  config.logging_dir = folder.path() + "/logs";
  run(config);
  CHECK(std::distance(fs::directory_iterator(config.logging_dir), {}) == 1);
  CHECK_FALSE(fs::exists(config.output_dir + "/runs"));
}

TEST_CASE("trainer: the model card tells of the run, and leaves somebody else's alone") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "out");
  config.eval_strategy = "steps";
  config.save_strategy = "steps";
  config.origins = {{"bits", "4", "default (qlora.py)"},
                    {"train_file", "\"a`b\\n.txt\"", "config.json"},
                    {"lora_r", "4", "--lora_r"}};
  run(config);
  const std::string path = config.output_dir + "/README.md";
  const std::string card = content_of(path);
  const Json results = Json::parse_file(config.output_dir + "/all_results.json");
  const Json arguments = Json::parse_file(config.output_dir + "/checkpoint-14/training_args.json");
  for (const std::string& part :
       {cat("base_model: ", Json(config.model_name_or_path).dump(), "\nlibrary_name: peft\n"),
        cat("- Training: `", Json(config.train_file).dump(), "`, 70 sequences, "),
        cat("hash of the tokens `", arguments.at("train_data_hash").dump(), "`\n"),
        cat("- Evaluation: `", Json(config.validation_file).dump(), "`, 70 sequences, "),
        cat("- train_loss: ", results.at("train_loss").dump(), "\n"),
        cat("- eval_loss: ", results.at("eval_loss").dump(), "\n"),
        std::string("\n\n- train_file: `\"a\\u0060b\\n.txt\"`\n- lora_r: `4`\n\n"),
        std::string("- qlora-engine 0."), std::string("- simdjson ")}) {
    CAPTURE(part);
    CHECK(card.find(part) != std::string::npos);
  }
  config.resume = "no";
  run(config);
  CHECK(content_of(path) != card);  // another runtime
  std::ofstream(path, std::ios::app) << "Trained for a friend.\n";
  const std::string edited = content_of(path);
  run(config);
  CHECK(content_of(path) == edited);
}

TEST_CASE("trainer: save_total_limit keeps what was just written, and the best") {
  const TemporaryFolder folder;
  const auto steps = [&] {
    std::vector<int64_t> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      const std::string name = entry.path().filename().string();
      REQUIRE(name.starts_with(kCheckpointPrefix));
      found.push_back(std::stoll(name.substr(std::string(kCheckpointPrefix).size())));
    }
    std::sort(found.begin(), found.end());
    return found;
  };
  const auto left = [&](int64_t keep, int64_t step, int64_t best) {
    for (int64_t i = 1; i <= 6; ++i) folder.write(cat(kCheckpointPrefix, i, "/a"), "x");
    prune_checkpoints(folder.path(), keep, step, best);
    return steps();
  };
  using Steps = std::vector<int64_t>;
  CHECK(left(2, 6, 0) == Steps{5, 6});
  CHECK(left(1, 6, 0) == Steps{6});
  CHECK(left(2, 6, 2) == Steps{2, 6});
  CHECK(left(1, 6, 2) == Steps{2, 6});
  CHECK(left(9, 6, 2) == Steps{1, 2, 3, 4, 5, 6});
  // Later ones are of a run that went another way, or broken.
  CHECK(left(3, 4, 1) == Steps{1, 3, 4});
  CHECK(left(1, 4, 0) == Steps{4});
}

TEST_CASE("trainer: a stop in an evaluation is a stop at that step; it is made after the resume") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.eval_strategy = "steps";
    config.eval_steps = 3;
    config.save_strategy = "best";
    config.load_best_model_at_end = true;
    config.greater_is_better = true;
    config.max_steps = 7;
    return config;
  };
  const auto history = [](const RunConfig& config) {
    const Json state = Json::parse_file(config.output_dir + "/trainer_state.json");
    Json entries = Json::array();
    for (const Json& entry : state.at("log_history").items()) {
      Json kept = Json::object();
      for (const auto& [key, value] : entry.members()) {
        if (key.find("runtime") == std::string::npos && key.find("per_second") == std::string::npos)
          kept.set(key, value);
      }
      entries.push_back(kept);
    }
    return entries.dump();
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  for (const int64_t at : {3, 6, 7}) {  // 7: the last evaluation
    CAPTURE(at);
    const RunConfig config = config_of(cat("stopped", at));
    std::atomic<bool> stop = false;
    int64_t n_evaluations = 0;
    const TrainResult first =
        run(config, {.on_step = [&](const StepMetrics& m) { stop = m.step == at; },
                     .on_evaluation = [&](const EvalMetrics&) { ++n_evaluations; },
                     .stop = &stop});
    CHECK(first.stopped);
    CHECK(first.steps == at);
    CHECK(n_evaluations == (at - 1) / 3);
    CHECK(run(config).first_step == at);
    CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
    CHECK(history(config) == history(whole));
  }
  std::atomic<bool> stop = true;
  CHECK_THROWS_AS(Trainer(whole, Trainer::Task::kTrain, false, Log(), &stop), Stopped);
  Trainer trainer(whole, Trainer::Task::kEvaluate, false, Log());
  CHECK_THROWS_AS(trainer.evaluate(&stop), Stopped);
}

TEST_CASE("trainer: a checkpoint of other settings or data is refused by name") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "out");
  config.max_steps = 2;
  config.save_strategy = "steps";
  config.save_steps = 1;
  config.save_total_limit = 1;
  run(config);
  CHECK(newest_checkpoint(config.output_dir, Log()) == config.output_dir + "/checkpoint-2");
  CHECK_FALSE(std::filesystem::exists(config.output_dir + "/checkpoint-1"));
  RunConfig other = config;
  other.learning_rate = 1.0;
  CHECK(error_of([&] { run(other); }).find("learning_rate") != std::string::npos);
  other = config;
  other.train_file = folder.write("other.txt", "the king of france\n");
  CHECK(error_of([&] { run(other); }).find("train_data_hash") != std::string::npos);
  other = config;
  other.resume = "no";
  CHECK(run(other).first_step == 0);
  CHECK(run(config).first_step == 2);
}

TEST_CASE("trainer: data_seed changes the order only; it is part of a checkpoint") {
  const TemporaryFolder folder;
  const auto batches_of = [&](const std::string& name, std::optional<int64_t> data_seed) {
    RunConfig config = random_run(folder, name);
    config.data_seed = data_seed;
    config.max_steps = 2;
    config.save_strategy = "steps";
    std::vector<std::pair<std::vector<uint32_t>, std::vector<int32_t>>> batches;
    run(config, {.on_batch = [&](int64_t, int64_t, const PackedBatch& batch) {
          batches.push_back({batch.sample_ids, batch.token_ids});
        }});
    return batches;
  };
  CHECK(batches_of("none", {}) == batches_of("same", 42));
  CHECK(batches_of("none2", {}) != batches_of("other", 43));
  RunConfig config = random_run(folder, "other");
  config.max_steps = 2;
  CHECK(error_of([&] { run(config); }).find("data_seed = 43, now it is null") != std::string::npos);
}

TEST_CASE("trainer: whole words and grouped batches resume bit for bit") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.whole_word_mask = true;
    config.mask_replace_prob = 1;
    config.random_replace_prob = 0;
    config.train_sampling_strategy = "group_by_length";
    return config;
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  const RunConfig config = config_of("stopped");
  run_until(config, 13);
  CHECK(run(config).first_step == 13);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
  RunConfig other = config_of("other");
  other.wwm_compat = true;
  other.save_strategy = "steps";
  run(other);
  CHECK(error_of([&] {
          other.wwm_compat = false;
          run(other);
        }).find("wwm_compat = true, now it is false") != std::string::npos);
}

TEST_CASE("trainer: spans resume bit for bit, and are part of a checkpoint") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.span_mask = true;
    config.max_steps = 6;
    return config;
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  RunConfig tokens = config_of("tokens");
  tokens.span_mask = false;
  run(tokens);
  CHECK(adapter_bytes(tokens.output_dir) != adapter_bytes(whole.output_dir));
  RunConfig config = config_of("stopped");
  run_until(config, 4);
  RunConfig other = config;
  other.span_max_words = 3;
  CHECK(error_of([&] { run(other); }).find("span_max_words = 10, now it is 3") !=
        std::string::npos);
  CHECK(run(config).first_step == 4);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
}

TEST_CASE(
    "trainer: the best checkpoint is kept, found again after a resume, and loaded at the end") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.eval_strategy = "steps";
    config.eval_steps = 2;
    config.save_strategy = "steps";
    config.save_steps = 2;
    config.save_total_limit = 2;
    config.load_best_model_at_end = true;
    config.greater_is_better = true;  // so that it is not simply the last one
    config.learning_rate = 0.02;
    config.lr_scheduler_type = "constant";
    return config;
  };
  const auto evaluations_of = [&](const RunConfig& config, const std::atomic<bool>* stop,
                                  std::atomic<bool>* set) {
    std::vector<std::pair<int64_t, double>> found;
    run(config, {.on_step =
                     [&](const StepMetrics& m) {
                       if (set) *set = m.step == 9;
                     },
                 .on_evaluation =
                     [&](const EvalMetrics& m) {
                       found.push_back({m.step, m.loss});
                     },
                 .stop = stop});
    return found;
  };
  const RunConfig config = config_of("best");
  const auto found = evaluations_of(config, nullptr, nullptr);
  REQUIRE(found.size() == 8);  // 7 and, with the best adapter, one more
  const auto best = std::max_element(found.begin(), found.end() - 1,
                                     [](auto a, auto b) { return a.second < b.second; });
  REQUIRE(best->first < 14);
  CHECK(found.back().second == best->second);
  // A run that was killed after its last evaluation makes it again, and says so once.
  const std::string metrics = content_of(config.output_dir + "/metrics.jsonl");
  CHECK(evaluations_of(config, nullptr, nullptr).size() == 1);
  CHECK(std::ranges::count(content_of(config.output_dir + "/metrics.jsonl"), '\n') ==
        std::ranges::count(metrics, '\n'));
  const std::string checkpoint = config.output_dir + "/checkpoint-" + std::to_string(best->first);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(checkpoint));
  CHECK(std::filesystem::exists(config.output_dir + "/checkpoint-14"));
  int n_checkpoints = 0;
  for (const auto& entry : std::filesystem::directory_iterator(config.output_dir)) {
    n_checkpoints += entry.path().filename().string().starts_with("checkpoint-");
  }
  CHECK(n_checkpoints == 2);
  const Json state = Json::parse_file(config.output_dir + "/trainer_state.json");
  CHECK(state.at("best_metric").as_double() == best->second);
  CHECK(state.at("best_global_step").as_int() == best->first);
  CHECK(state.at("best_model_checkpoint").as_string() == checkpoint);
  CHECK(state.at("save_steps").as_int() == 2);
  CHECK(Json::parse_file(config.output_dir + "/eval_results.json").at("eval_loss").as_double() ==
        best->second);

  const RunConfig stopped = config_of("stopped");
  std::atomic<bool> stop = false;
  evaluations_of(stopped, &stop, &stop);
  evaluations_of(stopped, nullptr, nullptr);
  CHECK(adapter_bytes(stopped.output_dir) == adapter_bytes(config.output_dir));
}

TEST_CASE("trainer: save_strategy best writes a checkpoint when an evaluation is the best so far") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "best");
  config.eval_strategy = "steps";
  config.eval_steps = 2;
  config.save_strategy = "best";
  config.eval_on_start = true;
  config.learning_rate = 0.02;
  std::vector<double> losses;
  std::vector<int64_t> saved;
  run(config, {.on_evaluation = [&](const EvalMetrics& m) { losses.push_back(m.loss); },
               .on_checkpoint =
                   [&](const std::string& path) {
                     saved.push_back(std::stoll(path.substr(path.rfind('-') + 1)));
                   }});
  REQUIRE(losses.size() == 8);
  std::vector<int64_t> expected;
  double best = INFINITY;
  for (size_t i = 1; i < losses.size(); ++i) {  // the first, before any update, does not count
    if (losses[i] < best) expected.push_back(static_cast<int64_t>(2 * i));
    best = std::min(best, losses[i]);
  }
  CHECK(saved == expected);
  CHECK(expected.size() < 8);
}

DEVICE_TEST_CASE("trainer: magnitudes resume bit for bit, in the memory that was planned") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.use_dora = true;
    config.lora_dropout = 0.2;
    config.gradient_checkpointing = true;
    config.max_steps = 6;
    return config;
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  const RunConfig config = config_of("stopped");
  run_until(config, 4);
  const SafetensorsFile states(config.output_dir + "/checkpoint-4/optimizer.safetensors");
  CHECK(states.tensors().count("bert.encoder.layer.0.output.dense.lora_magnitude_vector.exp_avg") ==
        1);
  CHECK(run(config).first_step == 4);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
  RunConfig other = config;
  other.use_dora = false;
  CHECK(error_of([&] { run(other); }).find("use_dora = true, now it is nothing") !=
        std::string::npos);

  const Trainer planned(whole, Trainer::Task::kTrain, true, Log());
  const Trainer real(whole, Trainer::Task::kTrain, false, Log());
  REQUIRE(planned.memory().size() == real.memory().size());
  for (size_t i = 0; i < real.memory().size(); ++i) {
    CHECK(planned.memory()[i].name == real.memory()[i].name);
    if (planned.memory()[i].name == kDeviceOverheadRow) continue;  // measured
    CHECK(planned.memory()[i].n_bytes == real.memory()[i].n_bytes);
  }
}

DEVICE_TEST_CASE("trainer: 8-bit states resume bit for bit") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.optim = "paged_adamw_8bit";
    config.lora_r = 64;  // the feed-forward's matrices have 80 * 64 values, the others fewer
    config.max_steps = 6;
    return config;
  };
  const RunConfig whole = config_of("whole8");
  run(whole);
  RunConfig other = config_of("other8");
  other.optim = "paged_adamw_32bit";
  run(other);
  CHECK(adapter_bytes(other.output_dir) != adapter_bytes(whole.output_dir));
  const RunConfig config = config_of("stopped8");
  run_until(config, 4);
  const SafetensorsFile states(config.output_dir + "/checkpoint-4/optimizer.safetensors");
  const std::string up = "bert.encoder.layer.0.intermediate.dense.lora_B.weight.";
  CHECK(states.tensors().at(up + "exp_avg").dtype == DType::kU8);
  CHECK(states.tensors().at(up + "exp_avg_sq_scale").shape == std::vector<int64_t>{20});
  CHECK(
      states.tensors().at("bert.encoder.layer.0.intermediate.dense.lora_A.weight.exp_avg").dtype ==
      DType::kF32);
  CHECK(run(config).first_step == 4);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
}

}  // namespace qe
