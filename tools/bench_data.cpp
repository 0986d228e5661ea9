// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/bench_data.h"

#include <algorithm>
#include <chrono>

#include "engine/train/data_loader.h"
#include "engine/train/training_data.h"
#include "kernels/core/error.h"
#include "tools/bench_clock.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kTokensPerRound = 10'000'000;

/// One way of masking and what its rounds took.
struct Masking {
  const char* name;
  DataLoader loader;
  std::vector<double> seconds{}, cpu_seconds{};
  int64_t n_tokens = 0, n_labels = 0;  // of a round

  void run(int64_t n_updates, int64_t capacity, bool timed) {
    const double cpu_start = process_cpu_seconds();
    const Clock::time_point start = Clock::now();
    n_tokens = n_labels = 0;
    {
      UpdateStream updates(loader, 0, n_updates, capacity);
      std::vector<PackedBatch> batches;
      for (int64_t i = 0; i < n_updates; ++i) {
        updates.next(batches);
        n_tokens += batches[0].n_tokens();
        n_labels += batches[0].n_labels();
      }
    }
    if (!timed) return;
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    cpu_seconds.push_back(process_cpu_seconds() - cpu_start);
  }
};

double tokens_per_second(const DataReport& report, double seconds) {
  return static_cast<double>(report.n_round_tokens) / seconds;
}

}  // namespace

DataReport bench_data(const BenchDataOptions& options) {
  const EncoderConfig encoder = read_encoder_config(options.model);
  const Tokenizer tokenizer = Tokenizer::load(options.model);
  QE_CHECK(tokenizer.mask_id(), options.model, ": the tokenizer has no mask token");
  RunConfig config;
  config.model_name_or_path = options.model;
  config.train_file = options.text;
  config.validation_split_percentage = 0;
  config.max_seq_length = options.length;
  TokenDataset data;
  {
    ThreadPool threads(0);
    data =
        load_training_data(config, true, true, encoder, tokenizer, threads, Log(), nullptr).train;
  }
  DataReport report{
      .n_sequences = data.size(), .n_tokens = data.n_tokens(), .length = options.length};
  std::vector<Masking> maskings;
  for (const auto& [name, unit] : {std::pair{"tokens", MaskUnit::kToken},
                                   {"words", MaskUnit::kWord},
                                   {"spans", MaskUnit::kSpan}}) {
    const MaskOptions masks{.unit = unit,
                            .mask_id = *tokenizer.mask_id(),
                            .n_random_ids = std::min(tokenizer.size(), encoder.vocab_size)};
    MlmCollator collator(encoder, masks, philox_key(config.seed, RandomPurpose::kMask));
    maskings.push_back(
        {.name = name,
         .loader = DataLoader(data, std::move(collator), {.batch_size = options.sequences})});
  }
  const int64_t n_epochs = (kTokensPerRound + data.n_tokens() - 1) / data.n_tokens();
  report.n_round_tokens = n_epochs * data.n_tokens();
  const int64_t n_updates = n_epochs * maskings[0].loader.epochs().updates(0);
  for (int64_t round = 0; round < options.warmup + options.rounds; ++round) {
    for (Masking& masking : maskings) {
      masking.run(n_updates, options.sequences * options.length, round >= options.warmup);
      QE_CHECK(masking.n_tokens == report.n_round_tokens, "expected ", report.n_round_tokens,
               " tokens in a round, got ", masking.n_tokens);
    }
  }
  for (const Masking& masking : maskings) {
    const auto [lowest, highest] =
        std::minmax_element(masking.seconds.begin(), masking.seconds.end());
    report.rates.push_back({.masking = masking.name,
                            .seconds = median_of(masking.seconds),
                            .lowest = *lowest,
                            .highest = *highest,
                            .cpu_seconds = median_of(masking.cpu_seconds),
                            .label_share = static_cast<double>(masking.n_labels) /
                                           static_cast<double>(masking.n_tokens)});
  }
  return report;
}

Json to_json(const DataReport& report) {
  std::vector<Json> runs;
  for (const DataRate& rate : report.rates) {
    runs.push_back(Json::object(
        {{"masking", rate.masking},
         {"seconds",
          Json::object({{"median", rate.seconds}, {"min", rate.lowest}, {"max", rate.highest}})},
         {"cpu_seconds", rate.cpu_seconds},
         {"label_share", rate.label_share},
         {"tokens_per_second", tokens_per_second(report, rate.seconds)},
         {"tokens_per_second_max", tokens_per_second(report, rate.lowest)}}));
  }
  return Json::object({{"task", "data"},
                       {"sequences", report.n_sequences},
                       {"tokens", report.n_tokens},
                       {"length", report.length},
                       {"round_tokens", report.n_round_tokens},
                       {"runs", Json::array(std::move(runs))}});
}

std::string text_of(const DataReport& report) {
  Table table("ll");
  table.add({"data", cat(human_count(report.n_sequences), " sequences of ", report.length,
                         " tokens; a round is ", human_count(report.n_round_tokens))});
  for (const DataRate& rate : report.rates) {
    const auto millions = [&](double seconds) {
      return fixed(1e-6 * tokens_per_second(report, seconds), 1);
    };
    table.add(
        {rate.masking,
         cat(millions(rate.seconds), " M tokens/s (", millions(rate.highest), " to ",
             millions(rate.lowest), "), ",
             fixed(1e9 * rate.cpu_seconds / static_cast<double>(report.n_round_tokens), 1),
             " ns of CPU a token; ", fixed(100 * rate.label_share, 1), " % of all to predict")});
  }
  return table.text();
}

}  // namespace qe::tools
