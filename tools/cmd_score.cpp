// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <cmath>
#include <span>
#include <string_view>

#include "engine/infer/scoring.h"
#include "formats/json.h"
#include "kernels/core/error.h"
#include "tools/answer_texts.h"
#include "tools/commands.h"
#include "tools/model_options.h"
#include "tools/progress.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

constexpr std::string_view kTsvHeader = "sum\ttokens\tper_token\tperplexity\n";

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

int run_score(const Arguments& arguments) {
  Progress progress;
  const std::atomic<bool>& stop = stop_on_signals();
  InferOptions options = model_options(arguments);
  options.batch_tokens = batch_tokens_of(arguments);
  Scorer scorer(
      options,
      arguments.has("within_word_l2r") ? ScoreMasking::kWithinWordL2r : ScoreMasking::kToken,
      progress.log());
  const bool json = arguments.has("json");
  const TextJob job{
      .name = "score",
      .session = scorer.session(),
      .prepare =
          [&](const std::string& text) { return scorer.prepare(text, arguments.has("truncate")); },
      .cost =
          [](const EncodedText& text) {  // of all masked copies
            const auto n = static_cast<int64_t>(text.ids.size());
            return 1 + n * n;
          },
      .answer =
          [&](std::span<const EncodedText> texts) {
            std::string lines;
            for (const TextScore& score : scorer.score(texts)) {
              lines += json ? json_line(score, scorer.session().tokenizer()) : tsv_line(score);
            }
            return lines;
          }};
  const std::string output = arguments.text("output");
  return unless_stopped(output, progress, [&] {
    write_answers(output, [&](const Append& append) {
      if (!json) append(std::as_bytes(std::span(kTsvHeader)));
      answer_texts(arguments, job, &stop, progress, append);
    });
  });
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
