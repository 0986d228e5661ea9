// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/bench_tokenize.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "formats/dataset/text_reader.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/error.h"
#include "kernels/core/parallel.h"
#include "tools/bench_clock.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

using Clock = std::chrono::steady_clock;

/// A team of threads and what its rounds took.
struct Team {
  explicit Team(int n_threads) : pool(n_threads) {}

  void encode(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
    encodings.resize(texts.size());
    constexpr int64_t kTextsPerTask = 64;
    const auto n = static_cast<int64_t>(texts.size());
    const Tokenizer::EncodeOptions options;
    pool.run((n + kTextsPerTask - 1) / kTextsPerTask, [&](int64_t task, int) {
      const int64_t end = std::min(n, (task + 1) * kTextsPerTask);
      for (int64_t i = task * kTextsPerTask; i < end; ++i) {
        const auto k = static_cast<size_t>(i);
        tokenizer.encode(texts[k], nullptr, options, encodings[k]);
      }
    });
  }

  TokenizeRate rate() const {
    const auto [lowest, highest] = std::minmax_element(seconds.begin(), seconds.end());
    return {pool.n_threads(), median_of(seconds), *lowest, *highest, median_of(cpu_seconds)};
  }

  ThreadPool pool;
  std::vector<Encoding> encodings;
  std::vector<double> seconds, cpu_seconds;
};

double megabytes_per_second(const TokenizeReport& report, const TokenizeRate& rate) {
  return 1e-6 * static_cast<double>(report.n_bytes) / rate.seconds;
}

double tokens_per_second(const TokenizeReport& report, const TokenizeRate& rate) {
  return static_cast<double>(report.n_tokens) / rate.seconds;
}

}  // namespace

TokenizeReport bench_tokenize(const BenchTokenizeOptions& options) {
  const Tokenizer tokenizer = Tokenizer::load(options.model);
  std::vector<std::string> texts;
  TokenizeReport report;
  read_records(options.text, {}, [&](Record&& record) {
    report.n_bytes += static_cast<int64_t>(record.text.size());
    texts.push_back(std::move(record.text));
  });
  QE_CHECK(report.n_bytes > 0, options.text, ": no text to tokenize");
  report.n_texts = static_cast<int64_t>(texts.size());

  std::vector<std::unique_ptr<Team>> teams;
  teams.push_back(std::make_unique<Team>(1));
  auto all = std::make_unique<Team>(options.threads);
  if (all->pool.n_threads() > 1) teams.push_back(std::move(all));
  for (int64_t round = 0; round < options.warmup + options.rounds; ++round) {
    for (const std::unique_ptr<Team>& team : teams) {
      const double cpu_start = process_cpu_seconds();
      const Clock::time_point start = Clock::now();
      team->encode(tokenizer, texts);
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      const double cpu_seconds = process_cpu_seconds() - cpu_start;
      report.n_tokens = 0;
      for (const Encoding& e : team->encodings)
        report.n_tokens += static_cast<int64_t>(e.ids.size());
      if (round < options.warmup) continue;
      team->seconds.push_back(seconds);
      team->cpu_seconds.push_back(cpu_seconds);
    }
  }
  for (const std::unique_ptr<Team>& team : teams) report.rates.push_back(team->rate());
  if (teams.size() > 1) {
    std::vector<double> speedups;
    for (size_t i = 0; i < teams[0]->seconds.size(); ++i) {
      speedups.push_back(teams[0]->seconds[i] / teams[1]->seconds[i]);
    }
    const auto [lowest, highest] = std::minmax_element(speedups.begin(), speedups.end());
    report.lowest_speedup = *lowest;
    report.highest_speedup = *highest;
    report.speedup = median_of(speedups);
  }
  return report;
}

Json to_json(const TokenizeReport& report) {
  std::vector<Json> runs;
  for (const TokenizeRate& rate : report.rates) {
    runs.push_back(Json::object(
        {{"threads", rate.threads},
         {"seconds",
          Json::object({{"median", rate.seconds}, {"min", rate.lowest}, {"max", rate.highest}})},
         {"cpu_seconds", rate.cpu_seconds},
         {"mb_per_second", megabytes_per_second(report, rate)},
         {"tokens_per_second", tokens_per_second(report, rate)}}));
  }
  return Json::object({{"task", "tokenize"},
                       {"texts", report.n_texts},
                       {"bytes", report.n_bytes},
                       {"tokens", report.n_tokens},
                       {"runs", Json::array(std::move(runs))},
                       {"speedup", Json::object({{"median", report.speedup},
                                                 {"min", report.lowest_speedup},
                                                 {"max", report.highest_speedup}})}});
}

std::string text_of(const TokenizeReport& report) {
  Table table("ll");
  table.add({"text", cat(human_count(report.n_texts), " texts, ",
                         human_bytes(static_cast<uint64_t>(report.n_bytes)), ", ",
                         human_count(report.n_tokens), " tokens")});
  for (const TokenizeRate& rate : report.rates) {
    const std::string name = cat(rate.threads, rate.threads == 1 ? " thread" : " threads");
    table.add({name, cat(fixed(megabytes_per_second(report, rate), 1), " MB/s, ",
                         fixed(1e-6 * tokens_per_second(report, rate), 2), " M tokens/s (",
                         fixed(1e3 * rate.seconds, 1), " ms, ", fixed(1e3 * rate.lowest, 1), " to ",
                         fixed(1e3 * rate.highest, 1), ")")});
  }
  if (report.rates.size() > 1) {
    table.add({"speedup", cat(fixed(report.speedup, 2), " x (", fixed(report.lowest_speedup, 2),
                              " to ", fixed(report.highest_speedup, 2), ")")});
  }
  return table.text();
}

}  // namespace qe::tools
