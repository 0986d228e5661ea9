// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <cmath>
#include <iostream>
#include <span>

#include "engine/infer/scoring.h"
#include "formats/atomic_write.h"
#include "formats/json.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/model_options.h"
#include "tools/progress.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

// Some batches of masked copies are collected before they run, so that few run half full.
constexpr int64_t kBatchesAtOnce = 4;

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(nine_digits(value)) : Json();
}

std::string json_line(const TextScore& score, const Tokenizer& tokenizer) {
  Json tokens = Json::array();
  for (size_t i = 0; i < score.tokens.size(); ++i) {
    tokens.push_back(
        Json::object({{"token", tokenizer.token(score.tokens[i])},
                      {"id", int64_t{score.tokens[i]}},
                      {"log_probability", number_or_null(score.log_probabilities[i])}}));
  }
  return Json::object({{"sum", number_or_null(score.sum())},
                       {"n_tokens", static_cast<int64_t>(score.tokens.size())},
                       {"per_token", number_or_null(score.per_token())},
                       {"perplexity", number_or_null(score.perplexity())},
                       {"n_cut", score.n_cut},
                       {"tokens", std::move(tokens)}})
             .dump() +
         "\n";
}

std::string tsv_number(double value) {
  return std::isfinite(value) ? Json(nine_digits(value)).dump() : std::isnan(value) ? "nan" : "inf";
}

std::string tsv_line(const TextScore& score) {
  return cat(tsv_number(score.sum()), "\t", score.tokens.size(), "\t",
             tsv_number(score.per_token()), "\t", tsv_number(score.perplexity()), "\n");
}

struct Stopped {};

/// Scores texts as they come and writes a line for each.
class Scoring {
 public:
  Scoring(Scorer& scorer, bool json, const std::function<void(const std::string&)>& write)
      : scorer_(scorer), json_(json), write_(write) {}

  void add(EncodedText&& text) {
    const auto n = static_cast<int64_t>(text.ids.size());
    if (text.n_cut > 0) ++n_cut_;
    n_tokens_ += 1 + n * n;
    texts_.push_back(std::move(text));
    if (n_tokens_ >= kBatchesAtOnce * scorer_.session().capacity().tokens) flush();
  }

  void flush() {
    std::string lines;
    for (const TextScore& score : scorer_.score(texts_)) {
      lines += json_ ? json_line(score, scorer_.session().tokenizer()) : tsv_line(score);
    }
    write_(lines);
    n_done_ += static_cast<int64_t>(texts_.size());
    texts_.clear();
    n_tokens_ = 0;
  }

  int64_t n_done() const { return n_done_; }
  int64_t n_cut() const { return n_cut_; }

 private:
  Scorer& scorer_;
  bool json_;
  const std::function<void(const std::string&)>& write_;
  std::vector<EncodedText> texts_;
  int64_t n_tokens_ = 0;  // of all masked copies
  int64_t n_done_ = 0;
  int64_t n_cut_ = 0;
};

void score_all(const Arguments& arguments, Scorer& scorer, Progress& progress,
               const std::atomic<bool>& stop,
               const std::function<void(const std::string&)>& write) {
  const bool json = arguments.has("json");
  if (!json) write("sum\ttokens\tper_token\tperplexity\n");
  Scoring scoring(scorer, json, write);
  for_each_input(arguments, [&](std::string&& text, const std::string&) {
    if (stop) throw Stopped{};
    scoring.add(scorer.prepare(text, arguments.has("truncate")));
    if (scoring.n_done() > 0) progress.bar("score", scoring.n_done(), 0, "texts");
  });
  scoring.flush();
  progress.clear();
  if (scoring.n_cut() > 0) {
    progress.log().warn(cat(human_count(scoring.n_cut()), " texts were cut to ",
                            scorer.session().config().max_length(), " tokens"));
  }
}

int run_score(const Arguments& arguments) {
  Progress progress;
  const std::atomic<bool>& stop = stop_on_signals();
  InferOptions options = model_options(arguments);
  options.batch_tokens = batch_tokens_of(arguments);
  Scorer scorer(
      options,
      arguments.has("within_word_l2r") ? ScoreMasking::kWithinWordL2r : ScoreMasking::kToken,
      progress.log());
  const std::string output = arguments.text("output");
  try {
    if (output.empty()) {
      score_all(arguments, scorer, progress, stop,
                [](const std::string& lines) { std::cout << lines << std::flush; });
    } else {
      write_file_atomically(output, [&](const Append& append) {
        score_all(arguments, scorer, progress, stop,
                  [&](const std::string& lines) { append(std::as_bytes(std::span(lines))); });
      });
    }
  } catch (const Stopped&) {
    progress.clear();
    if (!output.empty()) progress.line(cat("stopped: ", output, " is as it was"));
    return stop_status();
  }
  return 0;
}

}  // namespace

Command score_command() {
  return {
      .name = "score",
      .summary = "pseudo-log-likelihood of texts",
      .positionals = "[TEXT ...]",
      .max_positionals = -1,
      .takes_settings = false,
      .description =
          "How probable the model finds each text: the sum over its tokens of log p(token | the\n"
          "others), each token masked in turn (Salazar et al. 2020, arXiv:1910.14659); natural\n"
          "logarithms. Special tokens around the text and masks in it are not scored. Texts are\n"
          "arguments, rows of --input, or lines of standard input; their scores come in the same\n"
          "order, one a line: sum, number of tokens, sum per token, perplexity\n"
          "exp(-sum per token). A text without tokens has the sum 0 and neither of the last two\n"
          "(nan, null).",
      .options = with_model_options(
          {{"within_word_l2r", nullptr,
            "mask the later tokens of the token's word as well (Kauf and Ivanova 2023, "
            "arXiv:2305.10588)"},
           {"json", nullptr, "JSON lines, with every token's log probability"},
           {"input", "FILE", "texts: .txt (one a line), .jsonl, .json, .csv, .tsv; .gz, .zst"},
           {"output", "FILE", "instead of standard output; appears when all are there"},
           {"truncate", nullptr, "cut texts that are longer than the model's positions (an error)"},
           {"batch_tokens", "N", "tokens that share a forward pass beside a longest text (4096)"}}),
      .example = "qlora-engine score --model examples/tiny-mlm \"The capital of France is Paris.\"",
      .run = run_score};
}

}  // namespace qe::tools
