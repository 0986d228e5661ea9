// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/compare_models.h"

#include <doctest/doctest.h>

#include "tests/support/random_run.h"

namespace qe {

using test::random_run, test::run;

DEVICE_TEST_CASE("compare_models: the numbers of each model alone, and what the pairs say") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "adapter");
  run(config);
  const std::string adapter = config.output_dir;
  std::string other;
  for (int i = 0; i < 9; ++i) other += "moses went up " + std::to_string(i) + " times that day\n";
  folder.write("other.txt", other);
  const std::vector<std::string> files = {config.validation_file, folder.path() + "/other.txt"};
  const std::vector<std::string> models = {"", adapter, ""};
  size_t n_evaluations = 0;
  const std::vector<ComparedSet> sets =
      compare_models(config, models, files, Log(), nullptr,
                     [&](const ComparedSet& set, const ComparedModel& model) {
                       CHECK(set.file == files[n_evaluations % 2]);
                       CHECK(model.adapter == models[n_evaluations / 2]);
                       ++n_evaluations;
                     });
  CHECK(n_evaluations == 6);
  REQUIRE(sets.size() == 2);
  // The other set's lengths are in the plan, which a GPU's kernels may be chosen by.
  const double allowed = test::on_gpu() ? test::tolerance(test::Result::kLoss, 0.0) : 0.0;
  for (size_t i = 0; i < sets.size(); ++i) {
    CAPTURE(i);
    const std::vector<ComparedModel>& of_set = sets[i].models;
    REQUIRE(of_set.size() == 3);
    for (const ComparedModel& model : of_set) {
      RunConfig alone = config;
      alone.validation_file = files[i];
      alone.adapter_name_or_path = model.adapter;
      const EvalMetrics expected =
          Trainer(alone, Trainer::Task::kEvaluate, false, Log()).evaluate();
      CHECK(std::abs(model.metrics.loss - expected.loss) <= allowed * expected.loss);
      CHECK(model.metrics.n_labels == expected.n_labels);
      CHECK(model.metrics.n_samples == expected.n_samples);
      if (!test::on_gpu()) CHECK(model.metrics.accuracy == expected.accuracy);
    }
    CHECK_FALSE(of_set[0].to_first.has_value());
    const PairedDifference& trained = of_set[1].to_first.value();
    CHECK(trained.loss ==
          doctest::Approx(of_set[1].metrics.loss - of_set[0].metrics.loss).epsilon(1e-6));
    CHECK(trained.low < trained.loss);
    CHECK(trained.loss < trained.high);
    CHECK(of_set[2].to_first.value().loss == 0.0);
    CHECK(of_set[2].to_first.value().high == 0.0);
  }
  CHECK(sets[0].models[1].to_first.value().high < 0.0);  // it was trained on this one
}

TEST_CASE("compare_models: wrong files and adapters are named") {
  const TemporaryFolder folder;
  const RunConfig config = random_run(folder, "none");
  const auto compare = [&](const std::string& adapter, const std::string& file) {
    compare_models(config, {"", adapter}, {file}, Log(), nullptr, {});
  };
  CHECK_THROWS_WITH_AS(compare("", folder.path() + "/absent.txt"), doctest::Contains("absent.txt"),
                       Error);
  CHECK_THROWS_WITH_AS(compare(folder.path() + "/absent", config.train_file),
                       doctest::Contains("absent"), Error);
}

}  // namespace qe
