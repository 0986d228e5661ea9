// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <charconv>
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

/// Token ids separated by blanks or commas.
std::vector<int32_t> parse_ids(const Tokenizer& tokenizer, const std::string& line) {
  std::vector<int32_t> ids;
  const char* const end = line.data() + line.size();
  for (const char* at = line.data(); at < end;) {
    if (*at == ' ' || *at == ',' || *at == '\t') {
      ++at;
      continue;
    }
    int32_t id = 0;
    const auto [after, error] = std::from_chars(at, end, id);
    QE_CHECK(error == std::errc(), "expected token ids, got \"", std::string(at, end), "\"");
    tokenizer.token(id);  // an unknown id is an error
    ids.push_back(id);
    at = after;
  }
  return ids;
}

int run_tokenize(const Arguments& arguments) {
  Progress progress;
  const Tokenizer tokenizer = Tokenizer::load(arguments.text("model"));
  const Tokenizer::EncodeOptions options{
      .add_special_tokens = !arguments.has("no_special_tokens"),
      .max_length = arguments.integer("max_length", 0, 0, 1L << 30)};
  int64_t n_replaced = 0;
  for_each_text(arguments, [&](const std::string& text) {
    if (arguments.has("jsonl")) {
      const auto answer = arguments.has("decode") ? decode_json_line : tokenize_json_line;
      std::cout << answer(tokenizer, text, "request") << "\n";
    } else if (arguments.has("decode")) {
      std::cout << tokenizer.decode(parse_ids(tokenizer, text), arguments.has("no_special_tokens"))
                << "\n";
    } else {
      const Encoding encoding = tokenizer.encode(text, options);
      n_replaced += encoding.n_replaced_bytes;
      std::cout << joined(encoding.ids) << "\n";
    }
  });
  if (n_replaced > 0)
    progress.log().warn(cat(n_replaced, " invalid UTF-8 sequences were replaced by U+FFFD"));
  return 0;
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
          "as Hugging Face's tokenizers do; or ids back into text. With --jsonl every line is a\n"
          "JSON request and its answer: {\"text\", \"pair\", \"max_length\",\n"
          "\"add_special_tokens\"} gives {\"ids\", \"type_ids\", \"tokens\", \"offsets\" (in code\n"
          "points), \"special_tokens_mask\", \"word_ids\"}; with --decode too, {\"ids\",\n"
          "\"skip_special_tokens\"} gives {\"text\"}.",
      .options = {{"model", "DIR", "model folder with tokenizer.json or vocab.txt", true},
                  {"jsonl", nullptr, "JSON requests in, JSON answers out"},
                  {"decode", nullptr, "ids in, text out"},
                  {"no_special_tokens", nullptr,
                   "plain lines: add none when encoding, drop them when decoding"},
                  {"max_length", "N", "plain lines: truncate to N tokens; 0: never (0)"}},
      .example = "qlora-engine tokenize --model examples/tiny-mlm \"Hello, world!\"",
      .run = run_tokenize};
}

}  // namespace qe::tools
