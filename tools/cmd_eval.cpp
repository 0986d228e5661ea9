// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <cmath>
#include <iostream>

#include "engine/train/compare_models.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/run_report.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

int evaluate_one(const RunConfig& config, bool as_json, Progress& progress) {
  const std::atomic<bool>& stop = stop_on_signals();
  Trainer trainer(config, Trainer::Task::kEvaluate, /*planning=*/false, progress.log(), &stop);
  const EvalMetrics metrics = trainer.evaluate(&stop);
  if (as_json) {
    std::cout << to_json(metrics).dump() << "\n";
    return 0;
  }
  Table table("ll");
  table.add({"loss", fixed(metrics.loss, 4)});
  table.add({"loss (transformers' mean)", fixed(metrics.loss_hf, 4)});
  table.add({"perplexity", fixed(metrics.perplexity(), 2)});
  table.add({"masked accuracy", fixed(100 * metrics.accuracy, 2) + " %"});
  table.add({"predicted tokens", human_count(metrics.n_labels)});
  table.add({"sequences", human_count(metrics.n_samples)});
  std::cout << table.text();
  progress.line(human_count(metrics.n_tokens) + " tokens in " + human_duration(metrics.seconds));
  return 0;
}

std::string name_of(const ComparedModel& model) {
  return model.adapter.empty() ? "base" : model.adapter;
}

std::string signed_text(double value) { return (value > 0 ? "+" : "") + fixed(value, 4); }

std::string interval_text(const PairedDifference& difference) {
  if (std::isnan(difference.low)) return "one sequence has none";
  return cat(signed_text(difference.low), " to ", signed_text(difference.high),
             difference.significant() ? "" : "  (may be chance)");
}

std::string table_of(const std::vector<ComparedSet>& sets) {
  std::string out;
  for (const ComparedSet& set : sets) {
    const EvalMetrics& size = set.models.front().metrics;
    Table table("lrrrrl");
    table.add({"", "loss", "perplexity", "accuracy", set.models.size() > 1 ? "less base's" : "",
               set.models.size() > 1 ? "95 % interval" : ""});
    table.rule();
    for (const ComparedModel& model : set.models) {
      const EvalMetrics& m = model.metrics;
      std::vector<std::string> row = {name_of(model), fixed(m.loss, 4), fixed(m.perplexity(), 2),
                                      fixed(100 * m.accuracy, 2) + " %"};
      if (model.to_first) {
        row.push_back(signed_text(model.to_first->loss));
        row.push_back(interval_text(*model.to_first));
      }
      table.add(row);
    }
    out += cat(out.empty() ? "" : "\n", set.file, ": ", human_count(size.n_samples), " sequences, ",
               human_count(size.n_labels), " predicted tokens\n", table.text(2));
  }
  return out;
}

Json json_of(const std::vector<ComparedSet>& sets) {
  Json all = Json::array();
  for (const ComparedSet& set : sets) {
    Json models = Json::array();
    for (const ComparedModel& model : set.models) {
      Json json = to_json(model.metrics);
      json.set("adapter", model.adapter.empty() ? Json() : Json(model.adapter));
      if (model.to_first) {
        json.set("difference", Json::object({{"eval_loss", model.to_first->loss},
                                             {"low", model.to_first->low},
                                             {"high", model.to_first->high}}));
      }
      models.push_back(std::move(json));
    }
    all.push_back(Json::object({{"file", set.file}, {"models", std::move(models)}}));
  }
  return Json::object({{"confidence", 0.95}, {"sets", std::move(all)}});
}

/// The base and each --adapter, or the one model that the settings name.
std::vector<std::string> models_of(const Arguments& arguments, const RunConfig& config) {
  std::vector<std::string> models = arguments.texts("adapter");
  if (models.empty()) return {config.adapter_name_or_path};
  QE_CHECK(config.adapter_name_or_path.empty(),
           "adapter_name_or_path: --adapter compares with the base alone; give only one of both");
  models.insert(models.begin(), "");
  return models;
}

int run_eval(const Arguments& given) {
  Arguments arguments = given;
  if (arguments.has("model")) {
    arguments.settings.emplace_back("model_name_or_path", arguments.text("model"));
  }
  std::vector<std::string> files = arguments.texts("file");
  if (!files.empty()) arguments.settings.emplace_back("validation_file", files.front());
  Progress progress;
  const RunConfig config = read_config(arguments, progress);
  if (files.empty() && !arguments.has("adapter")) {
    return evaluate_one(config, arguments.has("json"), progress);
  }
  if (files.empty()) files.push_back(config.validation_file);
  const std::atomic<bool>& stop = stop_on_signals();
  std::vector<ComparedSet> sets =
      compare_models(config, models_of(arguments, config), files, progress.log(), &stop,
                     [&](const ComparedSet& set, const ComparedModel& model) {
                       progress.line(cat(name_of(model), " on ", set.file, ": ",
                                         human_duration(model.metrics.seconds)));
                     });
  for (ComparedSet& set : sets) {
    if (set.file.empty()) set.file = "the validation part of " + config.train_file;
  }
  std::cout << (arguments.has("json") ? json_of(sets).dump() + "\n" : table_of(sets));
  return 0;
}

}  // namespace

Command eval_command() {
  return {.name = "eval",
          .summary = "masked language model loss, perplexity and accuracy on validation data",
          .positionals = "[config.json]",
          .max_positionals = 1,
          .takes_settings = true,
          .description =
              "Masks the validation data (the same masks every time: they derive from seed), runs\n"
              "the base as stored by bits, with adapter_name_or_path on top if given, and prints\n"
              "the mean loss per predicted token, its exponential, and how often the best answer\n"
              "is right. With --adapter, base and adapters are compared on the same masks: the\n"
              "difference of each adapter's loss to the base's, and the interval that holds it\n"
              "with a confidence of 95 % for sequences like these. Writes no files.",
          .options = {{"model", "DIR", "the base's folder: model_name_or_path"},
                      {"adapter", "DIR", "compare this adapter with the base; may be repeated"},
                      {"file", "FILE",
                       "evaluate on this file instead of validation_file; may be repeated"},
                      {"json", nullptr, "print one JSON object instead"}},
          .example = "qlora-engine eval examples/kjv_demo.json --adapter demo",
          .run = run_eval};
}

}  // namespace qe::tools
