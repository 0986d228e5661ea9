// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/compare_models.h"

#include "engine/train/trainer.h"
#include "engine/train/training_data.h"

namespace qe {
namespace {

std::vector<TokenDataset> read_sets(const RunConfig& config, const std::vector<std::string>& files,
                                    const Log& log, StopToken stop) {
  ThreadPool threads(static_cast<int>(config.threads));
  const EncoderConfig encoder = read_encoder_config(config.model_name_or_path);
  const Tokenizer tokenizer = Tokenizer::load(config.model_name_or_path);
  std::vector<TokenDataset> sets;
  for (const std::string& file : files) {
    RunConfig of_file = config;
    of_file.validation_file = file;
    sets.push_back(load_training_data(of_file, false, false, encoder, tokenizer, threads, log, stop)
                       .evaluation);
  }
  return sets;
}

}  // namespace

std::vector<ComparedSet> compare_models(
    const RunConfig& config, const std::vector<std::string>& adapters,
    const std::vector<std::string>& files, const Log& log, StopToken stop,
    const std::function<void(const ComparedSet&, const ComparedModel&)>& on_evaluation) {
  const std::vector<TokenDataset> sets = read_sets(config, files, log, stop);
  std::vector<ComparedSet> compared;
  for (const std::string& file : files) compared.push_back({file, {}});
  std::vector<SequenceLosses> of_first(sets.size());
  for (size_t model = 0; model < adapters.size(); ++model) {
    RunConfig of_model = config;
    of_model.adapter_name_or_path = adapters[model];
    Trainer trainer(of_model, Trainer::Task::kEvaluate, false, log, stop, sets);
    for (size_t i = 0; i < sets.size(); ++i) {
      SequenceLosses own;
      SequenceLosses& losses = model == 0 ? of_first[i] : own;
      ComparedModel result{.adapter = adapters[model],
                           .metrics = trainer.evaluate(sets[i], losses, stop)};
      if (model > 0) result.to_first = paired_difference(of_first[i], losses);
      compared[i].models.push_back(std::move(result));
      if (on_evaluation) on_evaluation(compared[i], compared[i].models.back());
    }
  }
  return compared;
}

}  // namespace qe
