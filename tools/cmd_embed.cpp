// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <bit>
#include <span>

#include "engine/infer/embed.h"
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

static_assert(std::endian::native == std::endian::little, "the .npy header says '<f4'");

EmbedOptions embed_options(const Arguments& arguments) {
  const std::string pooling = arguments.text("pooling", "mean");
  if (pooling != "mean" && pooling != "cls")
    throw UsageError(cat("--pooling: expected mean or cls, got \"", pooling, "\""));
  return {.pooling = pooling == "cls" ? Pooling::kCls : Pooling::kMean,
          .layer = arguments.integer("layer", kAfterAllLayers, 0, 1000000),
          .normalize = arguments.has("normalize")};
}

/// What stands before the numbers of a float32 [n, columns] array: version 1.0 of the format, whose
/// header ends at a multiple of 64 bytes.
std::string npy_header(int64_t n, int64_t columns) {
  std::string header =
      cat("{'descr': '<f4', 'fortran_order': False, 'shape': (", n, ", ", columns, "), }");
  constexpr size_t kBefore = 10;  // magic, version, length
  header += std::string(63 - (kBefore + header.size()) % 64, ' ') + "\n";
  const auto size = static_cast<uint16_t>(header.size());
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(size & 255) +
         static_cast<char>(size >> 8) + header;
}

std::string json_lines(std::span<const float> rows, size_t columns) {
  std::string lines;
  for (size_t at = 0; at < rows.size(); at += columns) {
    Json row = Json::array();
    for (const float x : rows.subspan(at, columns)) {
      row.push_back(nine_digits(static_cast<double>(x)));
    }
    lines += row.dump() + "\n";
  }
  return lines;
}

// The bytes of .npy's rows.
std::string raw_bytes(std::span<const float> rows) {
  return {reinterpret_cast<const char*>(rows.data()), rows.size_bytes()};
}

// The number of rows comes first in the file: it is counted before.
int64_t count_texts(const Arguments& arguments) {
  int64_t n = 0;
  for_each_input(arguments, [&](std::string&&, const std::string&) { ++n; });
  return n;
}

// Standard input can be read once: its lines become arguments.
Arguments with_lines_held(Arguments arguments) {
  if (arguments.has("input") || !arguments.positionals.empty()) return arguments;
  std::vector<std::string> lines;
  for_each_input(arguments,
                 [&](std::string&& text, const std::string&) { lines.push_back(std::move(text)); });
  QE_CHECK(!lines.empty(), "standard input: no text");
  arguments.positionals = std::move(lines);
  return arguments;
}

int run_embed(const Arguments& given) {
  Progress progress;
  const std::atomic<bool>& stop = stop_on_signals();
  const EmbedOptions embed = embed_options(given);
  const std::string output = given.text("output");
  const bool npy = output.ends_with(".npy");
  if (!output.empty() && !npy && !output.ends_with(".jsonl"))
    throw UsageError(cat("--output: expected a name in .npy or .jsonl, got \"", output, "\""));
  InferOptions options = model_options(given);
  options.batch_tokens = batch_tokens_of(given);
  Embedder embedder(options, embed, progress.log());
  std::vector<float> rows;
  const TextJob job{
      .name = "embed",
      .session = embedder.session(),
      .prepare =
          [&](const std::string& text) { return embedder.prepare(text, given.has("truncate")); },
      .cost = [](const EncodedText& text) { return static_cast<int64_t>(text.ids.size()); },
      .answer =
          [&](std::span<const EncodedText> texts) {
            const auto columns = static_cast<size_t>(embedder.size());
            rows.resize(texts.size() * columns);
            embedder.embed(texts, rows);
            return npy ? raw_bytes(rows) : json_lines(rows, columns);
          }};
  return unless_stopped(output, progress, [&] {
    const Arguments arguments = npy ? with_lines_held(given) : given;
    const int64_t n_texts = npy ? count_texts(arguments) : 0;
    write_answers(output, [&](const Append& append) {
      const std::string header = npy ? npy_header(n_texts, embedder.size()) : "";
      append(std::as_bytes(std::span(header)));
      const int64_t n = answer_texts(arguments, job, &stop, progress, append);
      QE_CHECK(!npy || n == n_texts, given.text("input"), ": changed while it was read");
    });
  });
}

}  // namespace

Command embed_command() {
  return {
      .name = "embed",
      .summary = "one vector for each text",
      .positionals = "[TEXT ...]",
      .max_positionals = -1,
      .takes_settings = false,
      .description =
          "Pools the encoder's hidden states: the mean over all tokens of a text, special tokens\n"
          "included (sentence-transformers' mean over the attention mask), or the first token's.\n"
          "A masked-LM head is not needed. Texts are arguments, rows of --input, or lines of\n"
          "standard input; their vectors come in the same order. Files are streamed; for .npy,\n"
          "whose length comes first, they are read twice and standard input is held in memory.",
      .options = with_model_options(
          {{"pooling", "mean|cls", "mean of all tokens, or the first one (mean)"},
           {"normalize", nullptr, "to Euclidean length 1"},
           {"layer", "N",
            "pool what layer N leaves, 0: the embeddings (the last one, after the final norm)"},
           {"input", "FILE", "texts: .txt (one a line), .jsonl, .json, .csv, .tsv; .gz, .zst"},
           {"output", "FILE",
            ".npy: float32 [texts, hidden]; .jsonl: a list a line. Without it: such lines on "
            "standard output"},
           {"truncate", nullptr, "cut texts that are longer than the model's positions (an error)"},
           {"batch_tokens", "N", "tokens that share a forward pass beside a longest text (4096)"}}),
      .example =
          "qlora-engine embed --model examples/tiny-mlm --input texts.txt --output texts.npy",
      .run = run_embed};
}

}  // namespace qe::tools
