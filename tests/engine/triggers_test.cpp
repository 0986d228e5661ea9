// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/triggers.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Steps = std::vector<int64_t>;

// The steps of a run of 10 updates, 4 an epoch, after which `action` is due.
Steps due_steps(const RunConfig& config, bool DueActions::*action) {
  const Triggers triggers(config, 10);
  Steps steps;
  for (int64_t step = 1; step <= 10; ++step) {
    if (triggers.after(step, static_cast<double>(step) / 4).*action) steps.push_back(step);
  }
  return steps;
}

RunConfig config_with(const std::function<void(RunConfig&)>& change) {
  RunConfig config;
  config.logging_steps = 3;
  config.eval_steps = 4;
  config.save_steps = 3;
  change(config);
  return config;
}

}  // namespace

TEST_CASE("triggers: steps, epochs, ratios and never, as transformers' Trainer") {
  const auto log = [](const std::function<void(RunConfig&)>& change) {
    return due_steps(config_with(change), &DueActions::log);
  };
  CHECK(log([](RunConfig&) {}) == Steps{3, 6, 9});
  CHECK(log([](RunConfig& c) { c.logging_first_step = true; }) == Steps{1, 3, 6, 9});
  CHECK(log([](RunConfig& c) { c.logging_steps = 0.41; }) == Steps{5, 10});
  CHECK(log([](RunConfig& c) { c.logging_strategy = "epoch"; }) == Steps{4, 8, 10});
  CHECK(log([](RunConfig& c) { c.logging_strategy = "no"; }) == Steps{});

  const auto evaluate = [](const std::function<void(RunConfig&)>& change) {
    return due_steps(config_with(change), &DueActions::evaluate);
  };
  CHECK(evaluate([](RunConfig&) {}) == Steps{});
  CHECK(evaluate([](RunConfig& c) { c.eval_strategy = "steps"; }) == Steps{4, 8, 10});
  CHECK(evaluate([](RunConfig& c) {
          c.eval_strategy = "steps";
          c.eval_delay = 5;
        }) == Steps{8, 10});
  CHECK(evaluate([](RunConfig& c) {
          c.eval_strategy = "steps";
          c.eval_delay = 11;
        }) == Steps{});
  CHECK(evaluate([](RunConfig& c) { c.eval_strategy = "epoch"; }) == Steps{4, 8, 10});
  CHECK(evaluate([](RunConfig& c) {
          c.eval_strategy = "epoch";
          c.eval_delay = 1.5;
        }) == Steps{8, 10});

  const auto save = [](const std::function<void(RunConfig&)>& change) {
    return due_steps(config_with(change), &DueActions::save);
  };
  CHECK(save([](RunConfig&) {}) == Steps{3, 6, 9, 10});
  CHECK(save([](RunConfig& c) { c.save_strategy = "epoch"; }) == Steps{4, 8, 10});
  CHECK(save([](RunConfig& c) { c.save_strategy = "no"; }) == Steps{});
  CHECK(save([](RunConfig& c) {
          c.save_strategy = "best";
          c.eval_strategy = "steps";
        }) == Steps{});
}

TEST_CASE("triggers: every checkpoint must have been evaluated to know the best") {
  const auto error = [](const std::function<void(RunConfig&)>& change) {
    return error_of([&] {
      Triggers(config_with([&](RunConfig& c) {
                 c.load_best_model_at_end = true;
                 c.eval_strategy = "steps";
                 c.save_strategy = "steps";
                 c.eval_steps = 3;
                 c.save_steps = 6;
                 change(c);
               }),
               20);
    });
  };
  CHECK(error([](RunConfig&) {}) == "");
  CHECK(error([](RunConfig& c) { c.save_strategy = "best"; }) == "");
  CHECK(error([](RunConfig& c) { c.save_steps = 4; }) ==
        "load_best_model_at_end needs save_steps to be a multiple of eval_steps, got 4 and 3");
  CHECK(error([](RunConfig& c) {
          c.eval_strategy = "epoch";
        }).find("got \"epoch\" and \"steps\"") != std::string::npos);
  CHECK(error([](RunConfig& c) { c.eval_strategy = c.save_strategy = "no"; }) != "");
  CHECK(error([](RunConfig& c) {
          c.load_best_model_at_end = false;
          c.save_strategy = "best";
          c.eval_strategy = "no";
        }) == "save_strategy \"best\" needs evaluations: set eval_strategy");
}

TEST_CASE("best metric: which number, and which way is better") {
  const EvalMetrics metrics{.loss = 2.0, .loss_hf = 3.0, .accuracy = 0.5};
  const auto best = [](const std::string& name, std::optional<bool> greater = {}) {
    RunConfig config;
    config.metric_for_best_model = name;
    config.greater_is_better = greater;
    return BestMetric(config);
  };
  CHECK(best("").value_of(metrics) == 2.0);
  CHECK_FALSE(best("").tracked());
  CHECK(best("loss").tracked());
  CHECK(best("eval_loss_hf").value_of(metrics) == 3.0);
  CHECK(best("accuracy").value_of(metrics) == 0.5);
  CHECK(best("perplexity").value_of(metrics) == doctest::Approx(std::exp(2.0)));
  CHECK(best("loss").is_better(1.0, 2.0));
  CHECK_FALSE(best("loss").is_better(2.0, 2.0));
  CHECK(best("loss").is_better(5.0, {}));
  CHECK_FALSE(best("loss").is_better(std::numeric_limits<double>::quiet_NaN(), {}));
  CHECK(best("accuracy").is_better(2.0, 1.0));
  CHECK(best("perplexity").is_better(1.0, 2.0));
  CHECK(best("loss", true).is_better(2.0, 1.0));
  CHECK(error_of([&] { best("f1"); }) ==
        "metric_for_best_model: expected loss, loss_hf, perplexity or accuracy, got \"f1\"");
}

}  // namespace qe
