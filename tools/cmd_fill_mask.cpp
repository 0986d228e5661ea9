// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "engine/infer/fill_mask.h"
#include "formats/json.h"
#include "formats/run_config.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/progress.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

using Answers = std::vector<std::vector<MaskAnswer>>;  // per mask, best first

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// Nine significant digits tell any two fp32 numbers apart.
double nine_digits(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  return std::strtod(buffer, nullptr);
}

/// What the Hugging Face pipeline returns: a list of answers for one mask, a list of such lists for
/// several.
Json pipeline_json(const Answers& masks) {
  Json all = Json::array();
  for (const auto& answers : masks) {
    Json list = Json::array();
    for (const MaskAnswer& answer : answers)
      list.push_back(Json::object({{"score", nine_digits(answer.score)},
                                   {"token", int64_t{answer.token}},
                                   {"token_str", answer.token_str},
                                   {"sequence", answer.sequence}}));
    if (masks.size() == 1) return list;
    all.push_back(std::move(list));
  }
  return all;
}

void print_table(const std::string& text, const Answers& masks) {
  std::cout << text << "\n";
  Table table("llrl");
  for (size_t m = 0; m < masks.size(); ++m)
    for (const MaskAnswer& answer : masks[m])
      table.add({masks.size() > 1 ? cat("mask ", m + 1) : "", answer.token_str,
                 fixed(answer.score, 4), masks.size() > 1 ? "" : answer.sequence});
  std::cout << table.text(masks.size() > 1 ? 2 : 0) << "\n";
}

void print_comparison(const std::string& text, const Answers& base, const Answers& adapted) {
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
  // The settings of train and eval, with their checks and defaults.
  std::vector<std::pair<std::string, std::string>> given;
  for (const char* key : {"bits", "quant_type", "double_quant", "quant_block_size"})
    if (arguments.has(key)) given.emplace_back(key, arguments.text(key));
  options.base = base_options(read_run_config("", given));
  return options;
}

int run_fill_mask(const Arguments& arguments) {
  Progress progress;
  const Log log = progress.log();
  const int64_t top_k = arguments.integer("top_k", 5, 1, 1000000);
  FillMaskOptions options = model_options(arguments);
  if (arguments.has("compare") && (options.adapter.empty() || arguments.has("json")))
    throw UsageError("--compare needs --adapter, and prints a table only");

  const auto candidates = [&](const FillMask& model) {
    return arguments.has("targets") ? model.target_ids(split_at_commas(arguments.text("targets")))
                                    : std::vector<int32_t>{};
  };
  if (!arguments.has("compare")) {
    FillMask model(options, log);
    const std::vector<int32_t> ids = candidates(model);
    for_each_text(arguments, [&](const std::string& text) {
      const Answers masks = model.fill(text, top_k, ids);
      if (arguments.has("json"))
        std::cout << pipeline_json(masks).dump() << std::endl;
      else
        print_table(text, masks);
    });
    return 0;
  }

  // One model after the other, so that only one is in memory.
  std::vector<std::string> texts;
  std::vector<Answers> base;
  const std::string adapter = std::exchange(options.adapter, "");
  {
    FillMask model(options, log);
    const std::vector<int32_t> ids = candidates(model);
    for_each_text(arguments, [&](const std::string& text) {
      texts.push_back(text);
      base.push_back(model.fill(text, top_k, ids));
    });
  }
  options.adapter = adapter;
  FillMask model(options, Log());  // what there was to say has been said
  const std::vector<int32_t> ids = candidates(model);
  for (size_t i = 0; i < texts.size(); ++i)
    print_comparison(texts[i], base[i], model.fill(texts[i], top_k, ids));
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
          "its own, the others staying in place.",
      .options = {{"model", "DIR", "model folder: config.json, *.safetensors, tokenizer.json",
                   true},
                  {"adapter", "DIR", "LoRA adapter folder, by train or by peft"},
                  {"top_k", "N", "answers per mask (5)"},
                  {"targets", "A,B", "score only these words (not renormalized)"},
                  {"json", nullptr, "one JSON value per text, as the pipeline returns it"},
                  {"compare", nullptr, "the base beside the base with the adapter"},
                  {"bits", "4|16|32", "stored weights of the base (4)"},
                  {"quant_type", "nf4|fp4", "code of the 4-bit weights (nf4)"},
                  {"double_quant", "true|false", "quantize the block scales too (true)"},
                  {"quant_block_size", "N", "weights that share a scale (64)"},
                  {"threads", "N", "CPU threads; 0: all (0)"}},
      .example =
          "qlora-engine fill-mask --model examples/tiny-mlm \"The capital of France is [MASK].\"",
      .run = run_fill_mask};
}

}  // namespace qe::tools
