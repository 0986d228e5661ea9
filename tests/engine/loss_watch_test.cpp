// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Runs in which losses are not finite or rise at once: what is skipped, recorded, given up.
#include "engine/train/loss_watch.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <set>

#include "engine/train/batch_dump.h"
#include "tests/support/random_run.h"

namespace qe {

using test::adapter_bytes, test::random_run;
using Finding = LossWatch::Finding;

namespace {

constexpr int64_t kPoisoned = 13;  // a position whose embedding is not finite

// A run of 12 updates whose batches reach the poisoned position at the steps (1-based) of `bad`.
class PoisonedRun {
 public:
  explicit PoisonedRun(const std::function<void(RunConfig&)>& change = [](RunConfig&) {}) {
    config = random_run(folder_, "out");
    config.bits = 32;
    config.max_steps = 12;
    config.logging_steps = 1;
    config.gradient_accumulation_steps = 1;
    change(config);
    const std::string path = config.model_name_or_path + "/model.safetensors";
    int64_t at = 0;
    {
      const SafetensorsFile file(path);
      const StoredTensor& table = file.tensors().at("bert.embeddings.position_embeddings.weight");
      REQUIRE(table.dtype == DType::kF32);
      // Data is at the file's end: find the tensor's bytes from there.
      const std::string bytes = content_of(path);
      at = static_cast<int64_t>(bytes.find(
          std::string(reinterpret_cast<const char*>(table.bytes.data()), table.bytes.size())));
      at += kPoisoned * table.shape[1] * 4;
    }
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    const float nan = std::nanf("");
    file.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  }

  TrainResult run(const std::set<int64_t>& bad, const std::set<int64_t>& surprising = {}) {
    warnings.clear();
    const Log log([this](LogLevel level, const std::string& line) {
      if (level == LogLevel::kWarning) warnings.push_back(line);
    });
    Trainer trainer(config, Trainer::Task::kTrain, false, log);
    return trainer.train({.load_update = [&](int64_t step, std::vector<PackedBatch>& batches) {
      batches[0].clear();
      const int64_t n = bad.contains(step + 1) ? kPoisoned + 1 : 12;
      std::vector<int32_t> ids, labels(static_cast<size_t>(n), kNoLabel);
      for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(20 + (i + step) % 9));
      labels[3] = 30;
      labels[7] = surprising.contains(step + 1) ? 90 : 31;
      for (uint32_t sample = 0; sample < 2; ++sample) {
        batches[0].append(trainer.model().config, 10 * static_cast<uint32_t>(step) + sample, ids,
                          {}, labels);
      }
      return int64_t{1};
    }});
  }
  std::vector<Json> metrics() const {
    std::vector<Json> lines;
    std::ifstream file(config.output_dir + "/metrics.jsonl");
    for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line, "metrics"));
    return lines;
  }

  RunConfig config;
  std::vector<std::string> warnings;

 private:
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("loss_watch: bad updates in a row, and spikes above the mean of a window") {
  LossWatch watch({.max_bad = 3, .window = 4, .threshold = 2.0});
  for (const double loss : {1.0, 9.0, 1.0, 1.0}) CHECK(watch.see(loss, false) == Finding::kNone);
  CHECK(watch.see(6.0, false) == Finding::kNone);  // twice the mean, not more
  CHECK(watch.mean() == 3.0);
  CHECK(watch.see(8.6, false) == Finding::kSpike);
  CHECK(watch.mean() == 4.25);
  CHECK(watch.see(NAN, true) == Finding::kNone);
  CHECK(watch.see(NAN, true) == Finding::kNone);
  LossWatch restored({.max_bad = 3, .window = 4, .threshold = 2.0});
  restored.restore(Json::parse(watch.state().dump(), "state"));
  CHECK(restored.see(NAN, true) == Finding::kTooManyBad);
  CHECK(restored.bad_in_row() == 3);
  CHECK(watch.see(1.0, false) == Finding::kNone);
  CHECK(watch.bad_in_row() == 0);
  restored.forget();
  for (int i = 0; i < 4; ++i) CHECK(restored.see(100.0, false) == Finding::kNone);
  LossWatch off({});
  for (int i = 0; i < 100; ++i) CHECK(off.see(i == 50 ? 1e9 : 1.0, i > 60) == Finding::kNone);
}

TEST_CASE(
    "trainer: an update that is not finite is skipped and recorded, and nothing else changes") {
  PoisonedRun run;
  run.run({4, 9});
  REQUIRE(run.warnings.size() == 2);
  CHECK(run.warnings[0] == "step 4: the loss is not finite; update skipped");
  std::vector<int64_t> skipped;
  for (const Json& line : run.metrics()) {
    if (line.find("skipped_samples")) {
      const int64_t step = line.at("step").as_int();
      CHECK(line.at("skipped_samples").dump() ==
            cat("[", 10 * step - 10, ", ", 10 * step - 9, "]"));
      skipped.push_back(step);
    } else if (line.find("skipped")) {
      CHECK(line.at("skipped").as_string() == "loss");
      CHECK(line.at("loss").is_null());
    } else {
      CHECK(line.at("loss").as_double() > 0);
    }
  }
  CHECK(skipped == std::vector<int64_t>{4, 9});
  const auto dump = read_batch_dump(run.config.output_dir + "/bad_batches.jsonl",
                                    read_encoder_config(run.config.model_name_or_path));
  REQUIRE(dump.size() == 2);
  CHECK(dump[1].at(0).sample_ids == std::vector<uint32_t>{80, 81});
  CHECK(dump[1].at(0).token_ids.size() == 2 * (kPoisoned + 1));
  // The mean of a run is that of its finite losses.
  const Json state = Json::parse_file(run.config.output_dir + "/trainer_state.json");
  CHECK(state.at("log_history").items().at(3).at("loss").is_null());
  CHECK(
      Json::parse_file(run.config.output_dir + "/train_results.json").at("train_loss").as_double() >
      0);
  // Parameters and states stay as they are, and no later update sees a trace of it.
  PoisonedRun without;
  const auto checkpoint = [](PoisonedRun& of, const std::set<int64_t>& bad) {
    of.config.max_steps = 4;
    of.config.lr_scheduler_type = "constant";
    of.config.warmup_steps = 0;
    of.config.save_strategy = "steps";
    of.config.save_steps = 1;
    of.config.resume = "no";
    of.run(bad);
    return of.config.output_dir + "/checkpoint-";
  };
  const std::string path = checkpoint(without, {4});
  for (const char* name : {"/adapter_model.safetensors", "/optimizer.safetensors"}) {
    CHECK(content_of(path + "3" + name) == content_of(path + "4" + name));
    CHECK(content_of(path + "2" + name) != content_of(path + "3" + name));
  }
}

TEST_CASE("trainer: max_bad_steps in a row end the run with a checkpoint, or rewind it") {
  const std::set<int64_t> bad = {5, 6, 7, 8};
  PoisonedRun stops([](RunConfig& c) { c.max_bad_steps = 3; });
  CHECK(error_of([&] { stops.run(bad); }) ==
        "step 7: 3 updates in a row had a loss or gradient that is not finite (max_bad_steps); "
        "their batches are in bad_batches.jsonl");
  CHECK(stops.run(bad).first_step == 7);  // goes on with the next
  CHECK(stops.warnings.size() == 1);

  const auto rewinding = [](RunConfig& c) {
    c.max_bad_steps = 3;
    c.on_bad_steps = "rewind";
    c.save_strategy = "steps";
    c.save_steps = 4;
  };
  PoisonedRun rewinds(rewinding);
  CHECK(rewinds.run(bad).steps == 12);
  const std::string said = rewinds.warnings.at(3);
  CHECK(said.starts_with("step 7: 3 updates in a row"));
  CHECK(said.ends_with("; back to the adapter of " + rewinds.config.output_dir +
                       "/checkpoint-4, and on with the next batch"));
  PoisonedRun nowhere(rewinding);
  nowhere.config.save_strategy = "no";
  CHECK(error_of([&] { nowhere.run(bad); }).ends_with("; there is no checkpoint to go back to"));
  PoisonedRun hopeless(rewinding);
  hopeless.config.max_bad_steps = 1;
  CHECK(error_of([&] { hopeless.run({5, 6, 7, 9}); }) == "");  // checkpoint 8 is another one
  PoisonedRun never(rewinding);
  never.config.max_bad_steps = 1;
  never.config.save_steps = 100;
  never.config.save_strategy = "steps";
  CHECK(error_of([&] { never.run({5}); }).ends_with("no checkpoint to go back to"));
}

TEST_CASE(
    "trainer: after a spike the adapter is the last checkpoint's, and the spike's update is void") {
  const auto settings = [](RunConfig& c) {
    c.loss_spike_window = 3;
    c.loss_spike_threshold = 1.2;
    c.save_strategy = "steps";
    c.save_steps = 2;
    c.learning_rate = 0.05;
    c.lr_scheduler_type = "constant";
  };
  PoisonedRun warned(settings);
  constexpr int64_t spike = 9;
  warned.run({}, {spike});
  REQUIRE(!warned.warnings.empty());
  CHECK(warned.warnings[0].starts_with("step 9: the loss, "));
  CHECK(warned.warnings[0].find(" is above 1.2 times ") != std::string::npos);
  PoisonedRun rewound([&](RunConfig& c) {
    settings(c);
    c.on_loss_spike = "rewind";
    c.max_steps = spike;
    c.save_steps = spike - 1;
  });
  rewound.run({}, {spike});
  REQUIRE(rewound.warnings.size() == 1);
  const std::string& out = rewound.config.output_dir;
  CHECK(adapter_bytes(out) == adapter_bytes(cat(out, "/checkpoint-", spike - 1)));
}

TEST_CASE("trainer: early stopping ends after so many evaluations that were not better") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.eval_strategy = "steps";
    config.eval_steps = 2;
    config.save_strategy = "steps";
    config.save_steps = 2;
    config.greater_is_better = true;  // losses fall: the first is the best for a while
    config.early_stopping_patience = 2;
    config.load_best_model_at_end = true;
    return config;
  };
  const RunConfig config = config_of("early");
  const TrainResult whole = test::run(config);
  CHECK(whole.steps == 6);  // evaluations at 2 (the best), 4, 6
  CHECK_FALSE(whole.stopped);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(config.output_dir + "/checkpoint-2"));
  CHECK(test::run(config).steps == 6);  // it does not go on
  const RunConfig stopped = config_of("stopped");
  CHECK(test::run_until(stopped, 5).stopped);
  CHECK(test::run(stopped).steps == 6);
  CHECK(adapter_bytes(stopped.output_dir) == adapter_bytes(config.output_dir));
  RunConfig none = config_of("none");
  none.load_best_model_at_end = false;
  none.eval_strategy = "no";
  CHECK(error_of([&] { test::run(none); }) ==
        "early_stopping_patience needs evaluations: set eval_strategy");
  // The rule of transformers' EarlyStoppingCallback.
  RunConfig rule;
  rule.early_stopping_patience = 2;
  rule.early_stopping_threshold = 0.1;
  const BestMetric metric(rule);
  CHECK(metric.count_not_better(2.0, {}, 0) == 0);
  CHECK(metric.count_not_better(1.95, 2.0, 0) == 1);  // better, but by less
  CHECK(metric.count_not_better(2.5, 2.0, 1) == 2);
  CHECK(metric.count_not_better(1.8, 2.0, 1) == 0);
  CHECK(metric.ends(2));
  CHECK_FALSE(metric.ends(1));
  CHECK_FALSE(BestMetric(RunConfig{}).ends(100));
}

}  // namespace qe
