// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Runs whose batches are sized by tokens, or whose masking rate changes.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "tests/support/random_run.h"

namespace qe {

using test::adapter_bytes, test::random_run, test::run;

namespace {

// Rows of 3 to 23 tokens.
RunConfig uneven_run(const TemporaryFolder& folder, const std::string& name) {
  RunConfig config = random_run(folder, name);
  std::string text;
  for (int i = 0; i < 60; ++i) {
    text += "god";
    for (int word = 0; word < i * 7 % 21; ++word) text += word % 2 == 0 ? " the" : " and";
    text += "\n";
  }
  config.train_file = folder.write("uneven.txt", text);
  config.per_device_train_batch_tokens = 64;
  config.gradient_accumulation_steps = 2;
  config.num_train_epochs = 3;
  config.max_steps = -1;
  return config;
}

std::vector<Json> metrics_of(const RunConfig& config) {
  std::ifstream file(config.output_dir + "/metrics.jsonl");
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line, "metrics"));
  return lines;
}

}  // namespace

DEVICE_TEST_CASE("trainer: batches by tokens: every sample once an epoch, planned and resumed") {
  for (const char* order : {"random", "group_by_length"}) {
    CAPTURE(order);
    const TemporaryFolder folder;
    const auto config_of = [&](const std::string& name) {
      RunConfig config = uneven_run(folder, name);
      config.train_sampling_strategy = order;
      config.save_strategy = "epoch";
      return config;
    };
    const RunConfig whole = config_of("whole");
    std::vector<std::vector<int>> seen(3, std::vector<int>(60, 0));
    std::vector<double> epochs;
    size_t most = 0;
    const auto count = [&](int64_t, int64_t, const PackedBatch& batch) {
      CHECK(batch.n_tokens() <= 64);
      CHECK(batch.token_capacity == 64);
      most = std::max(most, batch.sample_ids.size());
      const auto epoch = epochs.empty() ? size_t{0} : static_cast<size_t>(epochs.back());
      for (const uint32_t sample : batch.sample_ids) ++seen[epoch][sample];
    };
    std::vector<std::string> saved;
    const TrainResult result =
        run(whole, {.on_step = [&](const StepMetrics& m) { epochs.push_back(m.epoch); },
                    .on_checkpoint = [&](const std::string& path) { saved.push_back(path); },
                    .on_batch = count});
    CHECK(result.steps == result.total_steps);
    CHECK(epochs.back() == 3.0);
    CHECK(saved.size() == 3);
    CHECK(std::is_sorted(epochs.begin(), epochs.end()));
    for (const auto& epoch : seen) CHECK(epoch == std::vector<int>(60, 1));
    CHECK(most > 4);  // more than fit of the longest

    // Stopped in the middle of the second epoch.
    const auto middle = static_cast<int64_t>(
        std::find_if(epochs.begin(), epochs.end(), [](double e) { return e > 1.4; }) -
        epochs.begin());
    const RunConfig stopped = config_of("stopped");
    std::atomic<bool> stop = false;
    run(stopped,
        {.on_step = [&](const StepMetrics& m) { stop = m.step == middle; }, .stop = &stop});
    CHECK(run(stopped).first_step == middle);
    CHECK(adapter_bytes(stopped.output_dir) == adapter_bytes(whole.output_dir));

    const Trainer planned(whole, Trainer::Task::kTrain, true, Log());
    const Trainer real(whole, Trainer::Task::kTrain, false, Log());
    REQUIRE(planned.memory().size() == real.memory().size());
    for (size_t i = 0; i < real.memory().size(); ++i) {
      if (planned.memory()[i].name == kDeviceOverheadRow) continue;  // measured
      CHECK(planned.memory()[i].n_bytes == real.memory()[i].n_bytes);
    }
    CHECK(planned.summary().total_steps == result.total_steps);
  }
}

TEST_CASE("trainer: batches by tokens are those of batches by sequences, where all are alike") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.line_by_line = false;
    config.max_seq_length = 16;
    config.save_strategy = "steps";  // the last one
    return config;
  };
  const RunConfig by_number = config_of("number");
  run(by_number);
  RunConfig by_tokens = config_of("tokens");
  by_tokens.per_device_train_batch_tokens = 3 * 16 + 15;
  run(by_tokens);
  CHECK(adapter_bytes(by_tokens.output_dir) == adapter_bytes(by_number.output_dir));
  CHECK(error_of([&] {
          RunConfig other = by_number;
          other.per_device_train_batch_tokens = 48;
          run(other);
        }).find("per_device_train_batch_size = 3, now it is null") != std::string::npos);
  CHECK(error_of([&] {
          RunConfig small = config_of("small");
          small.per_device_train_batch_tokens = 15;
          run(small);
        }) == "per_device_train_batch_tokens: 15 tokens do not hold the longest sequence, of 16");
}

TEST_CASE("trainer: the masking rate changes over the run, is recorded, and resumes bit for bit") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.mlm_probability = 0.6;
    config.mlm_probability_end = 0.1;
    config.mlm_probability_schedule = "cosine";
    config.eval_strategy = "steps";
    config.eval_steps = 4;
    config.logging_steps = 1;
    config.learning_rate = 0;
    return config;
  };
  const RunConfig whole = config_of("whole");
  std::vector<double> rates, shares, losses;
  run(whole,
      {.on_step =
           [&](const StepMetrics& m) {
             rates.push_back(m.mlm_probability.value_or(0));
             shares.push_back(static_cast<double>(m.n_labels) / static_cast<double>(m.n_tokens));
           },
       .on_evaluation = [&](const EvalMetrics& m) { losses.push_back(m.loss); }});
  REQUIRE(rates.size() == 14);
  CHECK(rates.front() == 0.6);
  CHECK(rates.back() == doctest::Approx(0.1));
  CHECK(shares[0] + shares[1] > 2 * (shares[12] + shares[13]));
  // Evaluations keep their masks: without learning they are the same.
  REQUIRE(losses.size() >= 3);
  CHECK(losses == std::vector<double>(losses.size(), losses[0]));
  const std::vector<Json> lines = metrics_of(whole);
  CHECK(lines.at(0).at("mlm_probability").as_double() == 0.6);
  const Json state = Json::parse_file(whole.output_dir + "/trainer_state.json");
  CHECK(state.at("log_history").items().at(0).at("mlm_probability").as_double() == 0.6);

  const auto trained = [&](const std::string& name) {
    RunConfig config = config_of(name);
    config.learning_rate = 5e-3;
    return config;
  };
  const RunConfig uninterrupted = trained("uninterrupted");
  run(uninterrupted);
  const RunConfig stopped = trained("stopped");
  std::atomic<bool> stop = false;
  run(stopped, {.on_step = [&](const StepMetrics& m) { stop = m.step == 5; }, .stop = &stop});
  RunConfig other = stopped;
  other.mlm_probability_schedule = "linear";
  CHECK(error_of([&] { run(other); }).find("mlm_probability_schedule = \"cosine\"") !=
        std::string::npos);
  CHECK(run(stopped).first_step == 5);
  CHECK(adapter_bytes(stopped.output_dir) == adapter_bytes(uninterrupted.output_dir));

  RunConfig constant = trained("constant");
  constant.mlm_probability_end.reset();
  run(constant);
  CHECK(metrics_of(constant).at(0).find("mlm_probability") == nullptr);
  CHECK(adapter_bytes(constant.output_dir) != adapter_bytes(uninterrupted.output_dir));
}

}  // namespace qe
