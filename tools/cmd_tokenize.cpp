// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>

#include "formats/tokenizer/tokenize_json.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/progress.h"

namespace qe::tools {
namespace {

std::string joined(const std::vector<int32_t>& ids) {
  std::string out;
  for (const int32_t id : ids) out += (out.empty() ? "" : " ") + std::to_string(id);
  return out;
}

int run_requests(const Arguments& arguments, const Tokenizer& tokenizer) {
  if (arguments.has("jsonl") && arguments.has("decode"))
    throw UsageError("--jsonl and --decode are two kinds of requests: give one of them");
  if (arguments.has("no_special_tokens") || arguments.has("max_length"))
    throw UsageError("--no_special_tokens and --max_length are for texts: requests have members");
  const auto answer = arguments.has("decode") ? decode_json_line : tokenize_json_line;
  for_each_text(arguments, [&](const std::string& line) {
    std::cout << answer(tokenizer, line, "request") << "\n";
  });
  return 0;
}

int run_texts(const Arguments& arguments, const Tokenizer& tokenizer) {
  Progress progress;
  const Tokenizer::EncodeOptions options{
      .add_special_tokens = !arguments.has("no_special_tokens"),
      .max_length = arguments.integer("max_length", 0, 0, 1L << 30)};
  int64_t n_replaced = 0;
  for_each_text(arguments, [&](const std::string& text) {
    const Encoding encoding = tokenizer.encode(text, options);
    n_replaced += encoding.n_replaced_bytes;
    std::cout << joined(encoding.ids) << "\n";
  });
  if (n_replaced > 0)
    progress.log().warn(cat(n_replaced, " invalid UTF-8 sequences were replaced by U+FFFD"));
  return 0;
}

int run_tokenize(const Arguments& arguments) {
  const Tokenizer tokenizer = Tokenizer::load(arguments.text("model"));
  const bool requests = arguments.has("jsonl") || arguments.has("decode");
  return requests ? run_requests(arguments, tokenizer) : run_texts(arguments, tokenizer);
}

}  // namespace

Command tokenize_command() {
  return {
      .name = "tokenize",
      .summary = "texts to token ids and back",
      .positionals = "[TEXT ...]",
      .max_positionals = -1,
      .takes_settings = false,
      .description =
          "Turns every TEXT, or every line of standard input, into token ids, one line each,\n"
          "as Hugging Face's tokenizers do. With --jsonl or --decode every line is a JSON request\n"
          "and its answer. --jsonl: {\"text\", \"pair\"?, \"max_length\"?, \"truncation\"? "
          "(longest_first,\n"
          "only_first, only_second), \"truncation_side\"? (right, left), "
          "\"add_special_tokens\"?} gives\n"
          "{\"ids\", \"type_ids\", \"tokens\", \"offsets\" (in code points of the text),\n"
          "\"special_tokens_mask\", \"word_ids\"}. --decode: {\"ids\", \"skip_special_tokens\"?} "
          "gives\n"
          "{\"text\"}. Every answer is written before the next request is waited for.",
      .options = {{"model", "DIR", "model folder with the tokenizer's files", true},
                  {"jsonl", nullptr, "JSON requests to encode"},
                  {"decode", nullptr, "JSON requests to decode"},
                  {"no_special_tokens", nullptr, "of texts: add none"},
                  {"max_length", "N", "of texts: truncate to N tokens; 0: never (0)"}},
      .example = "qlora-engine tokenize --model examples/tiny-mlm \"Hello, world!\"",
      .run = run_tokenize};
}

}  // namespace qe::tools
