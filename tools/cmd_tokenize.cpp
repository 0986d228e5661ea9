// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <algorithm>
#include <charconv>
#include <functional>
#include <iostream>

#include "formats/json.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/progress.h"

namespace qe::tools {
namespace {

template <class T>
Json list(const std::vector<T>& values) {
  Json out = Json::array();
  for (const T value : values) out.push_back(Json(int64_t{value}));
  return out;
}

/// Everything there is to know about one encoded text, with Hugging Face's names.
Json encoding_json(const Tokenizer& tokenizer, const std::string& text, const Encoding& encoding) {
  Json tokens = Json::array(), offsets = Json::array();
  for (const int32_t id : encoding.ids) tokens.push_back(Json(tokenizer.token(id)));
  for (const auto& [begin, end] : encoding.offsets)
    offsets.push_back(Json::array({Json(int64_t{begin}), Json(int64_t{end})}));
  return Json::object({{"text", text},
                       {"input_ids", list(encoding.ids)},
                       {"tokens", std::move(tokens)},
                       {"token_type_ids", list(encoding.type_ids)},
                       {"offset_mapping", std::move(offsets)},
                       {"special_tokens_mask", list(encoding.special_tokens_mask)},
                       {"word_ids", list(encoding.word_ids)}});
}

std::string joined(const std::vector<int32_t>& ids) {
  std::string out;
  for (const int32_t id : ids) out += (out.empty() ? "" : " ") + std::to_string(id);
  return out;
}

/// Token ids separated by blanks or commas.
std::vector<int32_t> parse_ids(const std::string& line) {
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
    ids.push_back(id);
    at = after;
  }
  return ids;
}

int run_tokenize(const Arguments& arguments) {
  Progress progress;
  if (arguments.has("decode") && arguments.has("jsonl"))
    throw UsageError("--decode and --jsonl exclude each other");
  const Tokenizer tokenizer = Tokenizer::load(arguments.text("model"));
  const Tokenizer::EncodeOptions options{
      .add_special_tokens = !arguments.has("no_special_tokens"),
      .max_length = arguments.integer("max_length", 0, 0, 1L << 30)};
  int64_t n_replaced = 0;
  for_each_text(arguments, [&](const std::string& text) {
    if (arguments.has("decode")) {
      std::cout << tokenizer.decode(parse_ids(text), arguments.has("no_special_tokens")) << "\n";
      return;
    }
    const Encoding encoding = tokenizer.encode(text, options);
    n_replaced += encoding.n_replaced_bytes;
    if (arguments.has("jsonl"))
      std::cout << encoding_json(tokenizer, text, encoding).dump() << "\n";
    else
      std::cout << joined(encoding.ids) << "\n";
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
          "as Hugging Face's tokenizers do; or ids back into text.",
      .options = {{"model", "DIR", "model folder with tokenizer.json or vocab.txt", true},
                  {"jsonl", nullptr,
                   "print a JSON object per text: ids, tokens, offsets in code points, words"},
                  {"decode", nullptr, "texts are ids: print the text they stand for"},
                  {"no_special_tokens", nullptr, "add none when encoding, drop them when decoding"},
                  {"max_length", "N", "truncate to N tokens; 0: never (0)"}},
      .example = "qlora-engine tokenize --model examples/tiny-mlm --jsonl \"Hello, world!\"",
      .run = run_tokenize};
}

}  // namespace qe::tools
