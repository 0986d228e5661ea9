// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>
#include <utility>

#include "engine/model/expanded_weights.h"
#include "formats/run_config.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/fill_mask_file.h"
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

FillMaskOptions model_options(const Arguments& arguments) {
  FillMaskOptions options;
  options.model = arguments.text("model");
  options.adapter = arguments.text("adapter");
  options.threads = static_cast<int>(arguments.integer("threads", 0, 0, 4096));
  const RunConfig config =
      given_settings(arguments, {"bits", "quant_type", "double_quant", "quant_block_size", "device",
                                 "compute_dtype", "max_memory_MB", "resident_weights"});
  options.base = base_options(config);
  options.expanded_layers = n_expanded_layers(config);
  options.device = config.device;
  options.compute_dtype = config.compute_dtype;
  options.max_memory_MB = config.max_memory_MB;
  return options;
}

std::vector<int32_t> candidates(const FillMask& model, const Arguments& arguments) {
  if (!arguments.has("targets")) return {};
  return model.target_ids(split_at_commas(arguments.text("targets")));
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
                      .top_k = top_k_of(arguments)};
  FillMaskOptions options = model_options(arguments);
  options.batches = true;
  const std::atomic<bool>& stop = stop_on_signals();
  FillMask model(options, warnings.log());
  request.candidates = candidates(model, arguments);
  const FileResult result = fill_mask_file(model, request, stop, [&](int64_t n_lines) {
    progress.bar("fill-mask", n_lines, 0, "lines");
  });
  progress.clear();
  warnings.finish();
  if (result.stopped) {
    progress.line(cat("stopped: ", request.output, " is as it was"));
    return stop_status();
  }
  progress.line(cat(request.output, ": ", human_count(result.n_answers), " answers"));
  if (result.n_errors > 0) {
    log.warn(cat(human_count(result.n_errors),
                 " lines have no answer; the first: ", result.first_error));
  }
  return 0;
}

int run_comparison(const Arguments& arguments, const Log& log) {
  // One model after the other, so that only one is in memory.
  FillMaskOptions options = model_options(arguments);
  const int64_t top_k = top_k_of(arguments);
  std::vector<std::string> texts;
  std::vector<MaskAnswers> base;
  const std::string adapter = std::exchange(options.adapter, "");
  {
    FillMask model(options, log);
    const std::vector<int32_t> ids = candidates(model, arguments);
    for_each_text(arguments, [&](const std::string& text) {
      texts.push_back(text);
      base.push_back(model.fill(text, top_k, ids));
    });
  }
  options.adapter = adapter;
  FillMask model(options, Log());  // what there was to say has been said
  const std::vector<int32_t> ids = candidates(model, arguments);
  for (size_t i = 0; i < texts.size(); ++i)
    print_comparison(texts[i], base[i], model.fill(texts[i], top_k, ids));
  return 0;
}

void check_usage(const Arguments& arguments) {
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
  FillMask model(model_options(arguments), log);
  const std::vector<int32_t> ids = candidates(model, arguments);
  for_each_text(arguments, [&](const std::string& text) {
    const MaskAnswers masks = model.fill(text, top_k, ids);
    if (arguments.has("json"))
      std::cout << pipeline_json(masks).dump() << "\n";
    else
      print_table(text, masks);
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
      .options =
          {{"model", "DIR", "model folder: config.json, *.safetensors, tokenizer.json", true},
           {"adapter", "DIR", "LoRA adapter folder, by train or by peft"},
           {"top_k", "N", "answers per mask (5)"},
           {"targets", "A,B", "score only these words (not renormalized)"},
           {"json", nullptr, "one JSON value per text, as the pipeline returns it"},
           {"input", "FILE", "requests or texts, one a line"},
           {"output", "FILE", "the answers to --input, one JSON value a line"},
           {"on_error", "fail|skip|null",
            "a line of --input that cannot be answered: ends the run, has no line in the "
            "output, or the line null (fail)"},
           {"compare", nullptr, "the base beside the base with the adapter"},
           {"bits", "4|16|32", "stored weights of the base (4)"},
           {"quant_type", "nf4|fp4", "code of the 4-bit weights (nf4)"},
           {"double_quant", "true|false", "quantize the block scales too (true)"},
           {"quant_block_size", "N", "weights that share a scale (64)"},
           {"device", "NAME", "auto, cpu, cuda or cuda:N (auto)"},
           {"compute_dtype", "TYPE", "what a GPU computes in: auto, fp32, bf16, fp16 (auto)"},
           {"max_memory_MB", "SIZE",
            "of the device, in MB or with a unit; 0: on a GPU what is free (0)"},
           {"resident_weights", "true|false", "GPU: hold 4-bit weights decoded as well (false)"},
           {"threads", "N", "CPU threads; 0: all (0)"}},
      .example =
          "qlora-engine fill-mask --model examples/tiny-mlm \"The capital of France is [MASK].\"",
      .run = run_fill_mask};
}

}  // namespace qe::tools
