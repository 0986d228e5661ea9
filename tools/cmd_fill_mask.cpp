// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <cmath>
#include <iostream>
#include <utility>

#include "kernels/core/error.h"
#include "tools/answer_texts.h"
#include "tools/commands.h"
#include "tools/fill_mask_file.h"
#include "tools/model_options.h"
#include "tools/progress.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

void print_table(const std::string& text, const MaskAnswers& masks) {
  std::cout << text << "\n";
  Table table("llrl");
  for (size_t m = 0; m < masks.size(); ++m)
    for (const MaskAnswer& answer : masks[m])
      table.add({masks.size() > 1 ? cat("mask ", m + 1) : "", answer.token_str,
                 fixed(answer.score, 4), masks.size() > 1 ? "" : answer.sequence});
  std::cout << table.text(masks.size() > 1 ? 2 : 0) << "\n";
}

void print_tokens(const std::string& text, const TokensAnswers& masks) {
  std::cout << text << "\n";
  Table table("llrrl");
  for (size_t m = 0; m < masks.size(); ++m)
    for (const TokensAnswer& answer : masks[m]) {
      std::string words;
      for (const std::string& word : answer.token_strs) words += (words.empty() ? "" : " ") + word;
      table.add({masks.size() > 1 ? cat("mask ", m + 1) : "", words,
                 fixed(std::exp(answer.log_probability), 4), fixed(answer.log_probability, 3),
                 masks.size() > 1 ? "" : answer.sequence});
    }
  std::cout << table.text(masks.size() > 1 ? 2 : 0) << "\n";
}

void print_comparison(const std::string& text, const MaskAnswers& base,
                      const MaskAnswers& adapted) {
  std::cout << text << "\n";
  Table table("lrlr");
  table.add({"base", "", "    adapter", ""});
  for (size_t m = 0; m < base.size(); ++m) {
    if (m > 0) table.rule();
    for (size_t i = 0; i < base[m].size(); ++i)
      table.add({base[m][i].token_str, fixed(base[m][i].score, 4), "    " + adapted[m][i].token_str,
                 fixed(adapted[m][i].score, 4)});
  }
  std::cout << table.text(2) << "\n";
}

FillMode mode_of(const Arguments& arguments) {
  FillMode mode{.whole_targets = arguments.has("whole_targets")};
  if (!arguments.has("joint")) return mode;
  const std::string order = arguments.text("joint");
  mode.joint.emplace();
  mode.joint->n_beams = arguments.integer("beams", 0, 1, 10000);
  if (order == "left-to-right") {
    mode.joint->order = FillOrder::kLeftToRight;
  } else if (order == "confidence") {
    mode.joint->order = FillOrder::kConfidence;
  } else if (order == "beam") {
    mode.joint->order = FillOrder::kBeam;
  } else {
    throw UsageError(
        cat("--joint: expected left-to-right, confidence or beam, got \"", order, "\""));
  }
  return mode;
}

Targets given_targets(const FillMask& model, const Arguments& arguments) {
  if (!arguments.has("targets")) return {};
  return targets_of(model, mode_of(arguments), split_at_commas(arguments.text("targets")));
}

int64_t top_k_of(const Arguments& arguments) { return arguments.integer("top_k", 5, 1, 1000000); }

OnError on_error_of(const Arguments& arguments) {
  const std::string name = arguments.text("on_error", "fail");
  if (name == "fail") return OnError::kFail;
  if (name == "skip") return OnError::kSkip;
  if (name == "null") return OnError::kNull;
  throw UsageError(cat("--on_error: expected fail, skip or null, got \"", name, "\""));
}

/// Shows the first warnings and counts the others: a large file may have one for every line.
class FewWarnings {
 public:
  explicit FewWarnings(const Log& log) : log_(log) {}
  Log log() {
    return Log([this](LogLevel level, const std::string& text) {
      if (level == LogLevel::kWarning && ++n_ > kShown) return;
      level == LogLevel::kWarning ? log_.warn(text) : log_.info(text);
    });
  }
  void finish() const {
    if (n_ > kShown) log_.warn(cat(n_ - kShown, " more warnings"));
  }

 private:
  static constexpr int64_t kShown = 10;
  const Log& log_;
  int64_t n_ = 0;
};

int run_file(const Arguments& arguments, Progress& progress) {
  const Log log = progress.log();
  FewWarnings warnings(log);
  FileRequest request{.input = arguments.text("input"),
                      .output = arguments.text("output"),
                      .on_error = on_error_of(arguments),
                      .mode = mode_of(arguments),
                      .top_k = top_k_of(arguments)};
  InferOptions options = model_options(arguments);
  options.batch_tokens = kUsualBatchTokens;
  const std::atomic<bool>& stop = stop_on_signals();
  FillMask model(options, warnings.log());
  request.targets = given_targets(model, arguments);
  const int status = unless_stopped(request.output, progress, [&] {
    const FileResult result = fill_mask_file(model, request, &stop, [&](int64_t n_lines) {
      progress.bar("fill-mask", n_lines, 0, "lines");
    });
    progress.clear();
    progress.line(cat(request.output, ": ", human_count(result.n_answers), " answers"));
    if (result.n_errors > 0) {
      log.warn(cat(human_count(result.n_errors),
                   " lines have no answer; the first: ", result.first_error));
    }
  });
  warnings.finish();
  return status;
}

int run_comparison(const Arguments& arguments, const Log& log) {
  // One model after the other, so that only one is in memory.
  InferOptions options = model_options(arguments);
  const int64_t top_k = top_k_of(arguments);
  std::vector<std::string> texts;
  std::vector<MaskAnswers> base;
  const std::string adapter = std::exchange(options.adapter, "");
  {
    FillMask model(options, log);
    const std::vector<int32_t> ids = given_targets(model, arguments).candidates;
    for_each_text(arguments, [&](const std::string& text) {
      texts.push_back(text);
      base.push_back(model.fill(text, top_k, ids));
    });
  }
  options.adapter = adapter;
  FillMask model(options, Log());  // what there was to say has been said
  const std::vector<int32_t> ids = given_targets(model, arguments).candidates;
  for (size_t i = 0; i < texts.size(); ++i)
    print_comparison(texts[i], base[i], model.fill(texts[i], top_k, ids));
  return 0;
}

void check_usage(const Arguments& arguments) {
  const bool joint = arguments.has("joint"), whole = arguments.has("whole_targets");
  if ((joint || whole) && arguments.has("compare"))
    throw UsageError("--compare takes no --joint or --whole_targets");
  if (joint && whole) throw UsageError("--joint takes no --whole_targets");
  if (whole && !arguments.has("targets") && !arguments.has("input"))
    throw UsageError("--whole_targets needs --targets");
  if (arguments.has("beams") && arguments.text("joint") != "beam")
    throw UsageError("--beams is for --joint beam");
  if (arguments.has("beams") && arguments.integer("beams", 0, 1, 10000) < top_k_of(arguments))
    throw UsageError("--beams: expected at least --top_k");
  mode_of(arguments);
  if (arguments.has("compare") && (!arguments.has("adapter") || arguments.has("json")))
    throw UsageError("--compare needs --adapter, and prints a table only");
  if (arguments.has("input") != arguments.has("output"))
    throw UsageError("--input and --output go together");
  if (arguments.has("on_error") && !arguments.has("input"))
    throw UsageError("--on_error is for --input");
  if (arguments.has("input") &&
      (!arguments.positionals.empty() || arguments.has("compare") || arguments.has("json")))
    throw UsageError("--input takes no TEXT, --compare or --json: its answers are JSON lines");
}

int run_fill_mask(const Arguments& arguments) {
  Progress progress;
  const Log log = progress.log();
  check_usage(arguments);
  if (arguments.has("input")) return run_file(arguments, progress);
  if (arguments.has("compare")) return run_comparison(arguments, log);
  const int64_t top_k = top_k_of(arguments);
  const FillMode mode = mode_of(arguments);
  InferOptions options = model_options(arguments);
  if (mode.joint || mode.whole_targets) options.batch_tokens = kUsualBatchTokens;
  FillMask model(options, log);
  const Targets targets = given_targets(model, arguments);
  for_each_text(arguments, [&](const std::string& text) {
    const FillTask task = fill_task(model, mode, text, top_k, targets);
    const FillAnswers answers = std::move(fill_tasks(model, {&task, 1}, mode).front());
    if (arguments.has("json"))
      std::cout << answers_json(answers).dump() << "\n";
    else if (answers.masks.empty())
      print_tokens(text, answers.tokens);
    else
      print_table(text, answers.masks);
  });
  return 0;
}

}  // namespace

Command fill_mask_command() {
  return {
      .name = "fill-mask",
      .summary = "the most probable words for [MASK] in a text",
      .positionals = "[TEXT ...]",
      .max_positionals = -1,
      .takes_settings = false,
      .description =
          "Fills the mask tokens of every TEXT, or of every line of standard input, as Hugging\n"
          "Face's fill-mask pipeline does: probabilities over the whole vocabulary, each mask on\n"
          "its own, the others staying in place. With --input, every line of a file: JSON "
          "requests\n"
          "{\"text\", \"targets\"?, \"top_k\"?} in .jsonl, texts in .txt, both also as .gz or "
          ".zst.\n"
          "Their answers are JSON lines in the same order; the output file appears when all of\n"
          "them are there, and an interrupted run leaves the old one.",
      .options = with_model_options(
          {{"top_k", "N", "answers per mask (5)"},
           {"targets", "A,B", "score only these words (not renormalized)"},
           {"whole_targets", nullptr,
            "score targets of n tokens whole, not by their first token: in the mask's place as n "
            "masks that are filled from left to right; the score is the product of the tokens' "
            "probabilities (PLL-word-l2r: Kauf and Ivanova 2023, arXiv:2305.10588)"},
           {"joint", "left-to-right|confidence|beam",
            "fill all masks of a text together, one after the other, each given those before: the "
            "top_k best words of the first mask go on with the best one at the next (the next "
            "mask, or the one whose best word is the most probable), or the best beams of all "
            "ways do; ranked by the product of the probabilities"},
           {"beams", "N", "of --joint beam (top_k)"},
           {"json", nullptr, "one JSON value per text, as the pipeline returns it"},
           {"input", "FILE", "requests or texts, one a line"},
           {"output", "FILE", "the answers to --input, one JSON value a line"},
           {"on_error", "fail|skip|null",
            "a line of --input that cannot be answered: ends the run, has no line in the "
            "output, or the line null (fail)"},
           {"compare", nullptr, "the base beside the base with the adapter"}}),
      .example =
          "qlora-engine fill-mask --model examples/tiny-mlm \"The capital of France is [MASK].\"",
      .run = run_fill_mask};
}

}  // namespace qe::tools
