// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Trainer::measure: the time of a run from a few of its updates.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/random_run.h"

namespace qe {

using test::random_run, test::run;

namespace {

MeasuredSpeed measured(const RunConfig& config) {
  Trainer trainer(config, Trainer::Task::kMeasure, false, Log());
  return trainer.measure();
}

}  // namespace

DEVICE_TEST_CASE(
    "trainer: a measured run writes nothing and foretells its time within a factor 2") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "run");
  config.max_steps = 40;
  config.eval_strategy = "steps";
  config.eval_steps = 15;
  config.eval_on_start = true;
  // Others may use the machine meanwhile: one of several attempts has to do.
  bool close = false;
  for (int attempt = 0; attempt < 8 && !close; ++attempt) {
    config.resume = "no";
    std::filesystem::remove_all(config.output_dir);
    const MeasuredSpeed speed = measured(config);
    CHECK_FALSE(std::filesystem::exists(config.output_dir));
    CHECK(speed.n_updates == 3);
    CHECK(speed.updates_left == 40);
    CHECK(speed.n_evaluations == 4);  // before the first, after 15, 30 and the last
    CHECK(speed.n_tokens > 0);
    double training = 0.0, evaluation = 0.0;
    int64_t n_evaluations = 0;
    run(config, {.on_step = [&](const StepMetrics& m) { training += m.seconds; },
                 .on_evaluation =
                     [&](const EvalMetrics& m) {
                       evaluation += m.seconds;
                       ++n_evaluations;
                     }});
    CHECK(n_evaluations == speed.n_evaluations);
    const auto within_2 = [](double a, double b) { return a < 2 * b && b < 2 * a; };
    close = within_2(speed.training_seconds, training) &&
            within_2(speed.evaluation_seconds, evaluation);
    INFO("foretold ", speed.training_seconds, " + ", speed.evaluation_seconds, " s, took ",
         training, " + ", evaluation);
    CHECK((close || attempt < 7));
  }
}

TEST_CASE(
    "trainer: measuring goes on from a checkpoint, leaves it, and finds nothing left at the end") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "run");
  config.save_strategy = "steps";
  config.save_steps = 12;
  run(config);
  const std::string before = test::adapter_bytes(config.output_dir);
  CHECK(measured(config).n_updates == 0);  // at 14 of 14
  std::filesystem::remove_all(config.output_dir + "/checkpoint-14");
  const MeasuredSpeed rest = measured(config);
  CHECK(rest.updates_left == 2);
  CHECK(rest.n_updates == 1);  // after the one that warms up
  CHECK(test::adapter_bytes(config.output_dir) == before);
  CHECK_FALSE(std::filesystem::exists(config.output_dir + "/checkpoint-14"));
  CHECK_THROWS_AS(Trainer(config, Trainer::Task::kTrain, false, Log()).measure(), Error);
  CHECK_THROWS_AS(Trainer(config, Trainer::Task::kMeasure, false, Log()).train({}), Error);
}

}  // namespace qe
