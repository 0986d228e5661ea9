// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <bit>
#include <iostream>
#include <span>

#include "engine/infer/embed.h"
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

static_assert(std::endian::native == std::endian::little, "the .npy header says '<f4'");

// Some batches are collected before they run, so that few run half full.
constexpr int64_t kBatchesAtOnce = 4;

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

using Write = std::function<void(std::span<const std::byte>)>;
struct Stopped {};

/// Embeds texts as they come and writes their rows.
class Embedding {
 public:
  Embedding(Embedder& embedder, bool npy, const Write& write)
      : embedder_(embedder), npy_(npy), write_(write) {}

  void add(EncodedText&& text) {
    if (text.n_cut > 0) ++n_cut_;
    n_tokens_ += static_cast<int64_t>(text.ids.size());
    texts_.push_back(std::move(text));
    if (n_tokens_ >= kBatchesAtOnce * embedder_.session().capacity().tokens) flush();
  }

  void flush() {
    const auto columns = static_cast<size_t>(embedder_.size());
    rows_.resize(texts_.size() * columns);
    embedder_.embed(texts_, rows_);
    if (npy_) {
      write_(std::as_bytes(std::span<const float>(rows_)));
    } else {
      write_(std::as_bytes(std::span<const char>(json_lines(rows_, columns))));
    }
    n_done_ += static_cast<int64_t>(texts_.size());
    texts_.clear();
    n_tokens_ = 0;
  }

  int64_t n_done() const { return n_done_; }
  int64_t n_cut() const { return n_cut_; }

 private:
  Embedder& embedder_;
  bool npy_;
  const Write& write_;
  std::vector<EncodedText> texts_;
  std::vector<float> rows_;
  int64_t n_tokens_ = 0;
  int64_t n_done_ = 0;
  int64_t n_cut_ = 0;
};

int64_t embed_all(const Arguments& arguments, Embedder& embedder, bool npy, Progress& progress,
                  const std::atomic<bool>& stop, const Write& write) {
  Embedding embedding(embedder, npy, write);
  for_each_input(arguments, [&](std::string&& text, const std::string&) {
    if (stop) throw Stopped{};
    embedding.add(embedder.prepare(text, arguments.has("truncate")));
    if (embedding.n_done() > 0) progress.bar("embed", embedding.n_done(), 0, "texts");
  });
  embedding.flush();
  progress.clear();
  if (embedding.n_cut() > 0) {
    progress.log().warn(cat(human_count(embedding.n_cut()), " texts were cut to ",
                            embedder.session().config().max_length(), " tokens"));
  }
  return embedding.n_done();
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
  try {
    if (output.empty()) {
      embed_all(given, embedder, false, progress, stop, [](std::span<const std::byte> bytes) {
        std::cout.write(reinterpret_cast<const char*>(bytes.data()),
                        static_cast<std::streamsize>(bytes.size()));
        std::cout.flush();
      });
      return 0;
    }
    const Arguments arguments = npy ? with_lines_held(given) : given;
    const int64_t n_texts = npy ? count_texts(arguments) : 0;
    write_file_atomically(output, [&](const Append& append) {
      const std::string header = npy ? npy_header(n_texts, embedder.size()) : "";
      append(std::as_bytes(std::span(header)));
      const int64_t n = embed_all(arguments, embedder, npy, progress, stop, append);
      QE_CHECK(!npy || n == n_texts, given.text("input"), ": changed while it was read");
    });
  } catch (const Stopped&) {
    progress.clear();
    if (!output.empty()) progress.line(cat("stopped: ", output, " is as it was"));
    return stop_status();
  }
  return 0;
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
