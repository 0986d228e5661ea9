// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/run_history.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/core/error.h"
#include "tests/support/random_run.h"

namespace qe {
namespace {

std::vector<double> values(const RunHistory& history, const std::string& key) {
  std::vector<double> out;
  for (const PlotPoint& point : history.at(key)) out.push_back(point.y);
  return out;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("run_history: a file of lines: gaps, repeated updates, an unfinished line") {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl",
               "{\"step\": 1, \"epoch\": 0.5, \"loss\": 3.0, \"skipped\": \"loss\"}\n"
               "{\"step\": 2, \"epoch\": 1.0, \"loss\": null, \"grad_norm\": NaN}\n"
               "{\"step\": 2, \"skipped_samples\": [1, 2]}\n"
               "\n"
               "{\"step\": 3, \"epoch\": 1.5, \"loss\": 2.0}\n"
               "{\"step\": 3, \"epoch\": 1.5, \"eval_loss\": 2.25}\n"
               "{\"step\": 2, \"epoch\": 1.0, \"loss\": 2.5}\n"  // gone back to and done again
               "{\"step\": 4, \"lo");
  const RunHistory history = read_run_history(folder.path(), "step");
  CHECK(values(history, "loss") == std::vector<double>{3.0, 2.5, 2.0});
  CHECK(history.at("loss")[1].x == 2);
  CHECK(std::isnan(history.at("grad_norm")[0].y));
  CHECK(values(history, "eval_loss") == std::vector<double>{2.25});
  CHECK(history.count("skipped") == 0);
  CHECK(read_run_history(folder.path() + "/metrics.jsonl", "epoch").at("loss")[2].x == 1.5);

  folder.write("bad.jsonl", "{\"step\": 1}\n{\"step\": \n");
  CHECK_THROWS_WITH_AS(read_run_history(folder.path() + "/bad.jsonl", "step"),
                       doctest::Contains("bad.jsonl:2"), Error);
}

TEST_CASE("run_history: states of Hugging Face's Trainer, NaN as Python writes it, checkpoints") {
  const TemporaryFolder folder;
  const std::string entry =
      R"({"epoch": 0.1, "grad_norm": NaN, "learning_rate": 5e-05, "loss": -Infinity, "step": )";
  CHECK_THROWS_WITH_AS(read_run_history(folder.path(), "step"),
                       doctest::Contains("no metrics.jsonl"), Error);
  for (const std::string step : {"9", "10"}) {
    std::filesystem::create_directories(folder.path() + "/checkpoint-" + step);
    folder.write("checkpoint-" + step + "/trainer_state.json",
                 R"({"best": "NaN \" NaN", "log_history": [)" + entry + step + "}]}");
  }
  const RunHistory of_checkpoint = read_run_history(folder.path(), "step");
  CHECK(of_checkpoint.at("learning_rate")[0].x == 10);
  CHECK(std::isnan(of_checkpoint.at("loss")[0].y));
  folder.write("trainer_state.json",
               R"({"log_history": [{"step": 20, "loss": 1.5}, {"step": 20, "train_loss": 2.0}]})");
  CHECK(values(read_run_history(folder.path(), "step"), "loss") == std::vector<double>{1.5});
  folder.write("other.json", R"({"history": []})");
  CHECK_THROWS_WITH_AS(read_run_history(folder.path() + "/other.json", "step"),
                       doctest::Contains("log_history"), Error);
}

TEST_CASE("run_history: a run of ours, and pictures of one and of two") {
  const TemporaryFolder folder;
  const RunConfig config = test::random_run(folder, "run");
  std::vector<double> losses;
  test::run(config, {.on_step = [&](const StepMetrics& m) { losses.push_back(m.loss); }});
  const RunHistory history = read_run_history(config.output_dir, "step");
  CHECK(values(history, "loss") == losses);
  CHECK(history.at("loss").back().x == 14);

  const std::string one = run_plot_svg({{"run", history}}, {.title = "one"});
  CHECK(count(one, ">training</text>") == 1);
  const std::string two = run_plot_svg({{"run", history}, {"again", history}}, {.title = "two"});
  CHECK(count(two, ">run</text>") == 1);
  CHECK(count(two, ">again</text>") == 1);
  CHECK(count(two, "<polyline") == 2 + 2 * count(one, "stroke-dasharray=\"1 4\"/>"));
  CHECK(count(run_plot_svg({{"run", history}}, {.metric = "learning_rate", .logarithmic = true}),
              ">learning rate (logarithmic)</text>") == 1);
  CHECK_THROWS_WITH_AS(run_plot_svg({{"run", history}}, {.metric = "los"}),
                       doctest::Contains("run: it has no los; it has data_wait, epoch, "), Error);
}

}  // namespace qe
