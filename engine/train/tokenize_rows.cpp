// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/tokenize_rows.h"

#include <algorithm>
#include <vector>

#include "engine/model/packed_batch.h"
#include "engine/train/token_dataset.h"
#include "kernels/core/background.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr int64_t kRowsPerGroup = 1000;  // run_mlm.py's map batch
constexpr size_t kBlockRows = 16384;
constexpr size_t kBlockBytes = size_t{4} << 20;
constexpr size_t kBlocksAhead = 2;

/// Rows of one file that are tokenized together.
struct RowBlock {
  std::vector<Record> rows;
  std::string file;
};

size_t bytes_of(const Record& row) {
  const size_t n_ids = row.input_ids.size() + row.labels.size() + row.token_type_ids.size();
  return row.text.size() + (row.pair ? row.pair->size() : 0) + 4 * n_ids;
}

void read_blocks(const RowSource& rows, const Background<RowBlock>::Give& give) {
  RowBlock block;
  size_t n_bytes = 0;
  rows([&](Record&& row, const std::string& file) {
    const bool full = block.rows.size() >= kBlockRows || n_bytes >= kBlockBytes;
    if (!block.rows.empty() && (full || block.file != file)) {
      if (!give(block)) return false;
      block.rows.clear();
      n_bytes = 0;
    }
    block.file = file;
    n_bytes += bytes_of(row);
    block.rows.push_back(std::move(row));
    return true;
  });
  if (!block.rows.empty()) give(block);
}

/// The tokens of some rows, concatenated.
struct EncodedRows {
  std::vector<int32_t> ids, type_ids;
  std::vector<uint8_t> flags;
  std::vector<size_t> ends;  // of each row's tokens
  int64_t n_replaced_bytes = 0;

  void clear() {
    ids.clear();
    type_ids.clear();
    flags.clear();
    ends.clear();
    n_replaced_bytes = 0;
  }
};

/// Where samples go: into shards, up to max_samples.
class SampleSink {
 public:
  SampleSink(const TokenizeOptions& options,
             const std::function<void(const TokenShardBuilder&)>& take_shard)
      : options_(options), take_shard_(take_shard) {}

  bool full() const { return options_.max_samples > 0 && n_samples_ >= options_.max_samples; }
  int64_t n_samples() const { return n_samples_; }
  int64_t n_tokens() const { return n_tokens_; }

  void add(std::span<const int32_t> ids, std::span<const int32_t> type_ids,
           std::span<const uint8_t> flags, std::span<const int32_t> labels) {
    if (full()) return;
    shard_.add(ids, type_ids, flags, labels);
    ++n_samples_;
    n_tokens_ += static_cast<int64_t>(ids.size());
    if (shard_.n_tokens() >= options_.tokens_per_shard) finish();
  }
  /// Gives away what the last shard has.
  void finish() {
    if (shard_.size() > 0) take_shard_(shard_);
    shard_.clear();
  }

 private:
  const TokenizeOptions& options_;
  const std::function<void(const TokenShardBuilder&)>& take_shard_;
  TokenShardBuilder shard_;
  int64_t n_samples_ = 0, n_tokens_ = 0;
};

/// Rows joined into one stream, cut into pieces from its front.
class Joiner {
 public:
  /// prefix and suffix: the special tokens around every piece, or empty.
  Joiner(int64_t length, std::vector<int32_t> prefix, std::vector<int32_t> suffix)
      : piece_(length - static_cast<int64_t>(prefix.size() + suffix.size())),
        prefix_(std::move(prefix)),
        suffix_(std::move(suffix)) {
    QE_CHECK(piece_ > 0, "max_seq_length: ", length, " leaves no room beside the special tokens");
  }

  void add(std::span<const int32_t> ids, std::span<const uint8_t> flags) {
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    flags_.insert(flags_.end(), flags.begin(), flags.end());
  }
  void cut_full_pieces(SampleSink& sink) {
    int64_t begin = 0;
    const int64_t total = static_cast<int64_t>(ids_.size());
    for (; begin + piece_ <= total; begin += piece_) emit(sink, begin, piece_);
    ids_.erase(ids_.begin(), ids_.begin() + begin);
    flags_.erase(flags_.begin(), flags_.begin() + begin);
  }
  void cut_remainder(SampleSink& sink) {
    if (!ids_.empty()) emit(sink, 0, static_cast<int64_t>(ids_.size()));
    drop_remainder();
  }
  int64_t drop_remainder() {
    const int64_t n = static_cast<int64_t>(ids_.size());
    ids_.clear();
    flags_.clear();
    return n;
  }

 private:
  void emit(SampleSink& sink, int64_t begin, int64_t n) {
    piece_ids_ = prefix_;
    piece_ids_.insert(piece_ids_.end(), ids_.begin() + begin, ids_.begin() + begin + n);
    piece_ids_.insert(piece_ids_.end(), suffix_.begin(), suffix_.end());
    piece_flags_.assign(prefix_.size(), kSpecialToken);
    piece_flags_.insert(piece_flags_.end(), flags_.begin() + begin, flags_.begin() + begin + n);
    piece_flags_.resize(piece_ids_.size(), kSpecialToken);
    sink.add(piece_ids_, {}, piece_flags_, {});
  }
  int64_t piece_;
  std::vector<int32_t> prefix_, suffix_;
  std::vector<int32_t> ids_, piece_ids_;
  std::vector<uint8_t> flags_, piece_flags_;
};

Joiner make_joiner(const Tokenizer& tokenizer, const std::string& name,
                   const TokenizeOptions& options) {
  if (!options.wrap_pieces) return Joiner(options.max_length, {}, {});
  QE_CHECK(tokenizer.cls_id() && tokenizer.sep_id(), name,
           ": chunk_special_tokens \"chunks\" needs a tokenizer with cls and sep tokens");
  return Joiner(options.max_length, {*tokenizer.cls_id()}, {*tokenizer.sep_id()});
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\n\r\v\f") == std::string::npos;
}

class RowTokenizer {
 public:
  RowTokenizer(const std::string& name, const Tokenizer& tokenizer, int64_t vocab_size,
               const TokenizeOptions& options, ThreadPool& threads, SampleSink& sink)
      : tokenizer_(tokenizer),
        vocab_size_(vocab_size),
        options_(options),
        threads_(threads),
        sink_(sink),
        joiner_(make_joiner(tokenizer, name, options)) {}

  void add(const RowBlock& block) {
    for (const Record& row : block.rows) {
      QE_CHECK(options_.line_by_line || !row.pair || !row.input_ids.empty(), block.file, ":",
               row.line,
               ": a row with a second text is a sequence of its own: set line_by_line, or give one "
               "text column only");
    }
    const auto n = static_cast<int64_t>(block.rows.size());
    // Few enough rows that no thread waits long for the last one.
    const int64_t per_task = std::clamp<int64_t>(n / (8 * threads_.n_threads()), 1, 64);
    const int64_t n_tasks = (n + per_task - 1) / per_task;
    if (static_cast<int64_t>(encoded_.size()) < n_tasks) encoded_.resize(n_tasks);
    threads_.run(n_tasks, [&](int64_t task, int) {
      encode(
          std::span(block.rows).subspan(task * per_task, std::min(per_task, n - task * per_task)),
          encoded_[task]);
    });
    for (int64_t task = 0; task < n_tasks; ++task) {
      for (size_t i = 0; i < encoded_[task].ends.size(); ++i) {
        add_row(block.rows[task * per_task + i], block.file, encoded_[task], i);
      }
      counts.n_replaced_bytes += encoded_[task].n_replaced_bytes;
    }
    joiner_.cut_full_pieces(sink_);
  }

  void finish() {
    end_group();
    joiner_.cut_remainder(sink_);
    sink_.finish();
  }

  TokenizedRows counts;
  int64_t n_left_over = 0;  ///< tokens

 private:
  void encode(std::span<const Record> rows, EncodedRows& out) const {
    static thread_local Encoding encoding;
    const Tokenizer::EncodeOptions encode_options{
        .add_special_tokens = options_.line_by_line || !options_.wrap_pieces,
        .max_length = options_.line_by_line ? options_.max_length : 0};
    out.clear();
    for (const Record& row : rows) {
      const bool blank = is_blank(row.text) && (!row.pair || is_blank(*row.pair));
      if (row.input_ids.empty() && !(options_.line_by_line && blank)) {
        const std::string_view pair = row.pair ? *row.pair : std::string_view();
        tokenizer_.encode(row.text, row.pair ? &pair : nullptr, encode_options, encoding);
        for (const int32_t id : encoding.ids) {
          QE_CHECK(id >= 0 && id < vocab_size_, "the tokenizer gives id ", id, " (\"",
                   tokenizer_.token(id), "\"), outside the model's vocabulary of ", vocab_size_);
        }
        out.ids.insert(out.ids.end(), encoding.ids.begin(), encoding.ids.end());
        if (options_.line_by_line) {
          out.type_ids.insert(out.type_ids.end(), encoding.type_ids.begin(),
                              encoding.type_ids.end());
        }
        append_token_flags(encoding, out.flags);
        out.n_replaced_bytes += encoding.n_replaced_bytes;
      }
      out.ends.push_back(out.ids.size());
    }
  }

  void add_row(const Record& row, const std::string& file, const EncodedRows& encoded, size_t i) {
    const size_t begin = i == 0 ? 0 : encoded.ends[i - 1];
    const size_t n = encoded.ends[i] - begin;
    const std::span<const int32_t> ids = std::span(encoded.ids).subspan(begin, n);
    const std::span<const uint8_t> flags = std::span(encoded.flags).subspan(begin, n);
    if (!row.input_ids.empty()) {
      add_given(row, file);
    } else if (!options_.line_by_line) {
      joiner_.add(ids, flags);
    } else if (n > 0) {
      sink_.add(ids, std::span(encoded.type_ids).subspan(begin, n), flags, {});
    }
    if (++counts.n_rows % kRowsPerGroup == 0) end_group();
  }

  void end_group() {
    if (options_.wrap_pieces) return;
    joiner_.cut_full_pieces(sink_);
    n_left_over += joiner_.drop_remainder();
  }

  /// Adds a row of given ids, checked.
  void add_given(const Record& row, const std::string& file) {
    const auto check = [&](int32_t id, const char* what) {
      QE_CHECK(id >= 0 && id < vocab_size_, file, ":", row.line, ": ", what, " ", id,
               " is outside the model's vocabulary of ", vocab_size_);
    };
    given_flags_.clear();
    for (const int32_t id : row.input_ids) {
      check(id, "token id");
      given_flags_.push_back(tokenizer_.is_special(id) ? kSpecialToken : 0);
    }
    for (const int32_t label : row.labels) {
      if (label != kNoLabel) check(label, "label");
    }
    QE_CHECK(static_cast<int64_t>(row.input_ids.size()) <= options_.max_length, file, ":", row.line,
             ": ", row.input_ids.size(), " input_ids exceed max_seq_length ", options_.max_length);
    QE_CHECK(!options_.needs_words || !row.labels.empty(), file, ":", row.line,
             ": whole_word_mask needs the words of the text: give text instead of input_ids, or "
             "labels beside them");
    sink_.add(row.input_ids, row.token_type_ids, given_flags_, row.labels);
  }

  const Tokenizer& tokenizer_;
  int64_t vocab_size_;
  const TokenizeOptions& options_;
  ThreadPool& threads_;
  SampleSink& sink_;
  Joiner joiner_;
  std::vector<EncodedRows> encoded_;  // by task
  std::vector<uint8_t> given_flags_;
};

}  // namespace

TokenizedRows tokenize_rows(const RowSource& rows, const std::string& name,
                            const Tokenizer& tokenizer, int64_t vocab_size,
                            const TokenizeOptions& options, ThreadPool& threads,
                            const std::function<void(const TokenShardBuilder&)>& take_shard) {
  SampleSink sink(options, take_shard);
  RowTokenizer rows_tokenizer(name, tokenizer, vocab_size, options, threads, sink);
  {
    Background<RowBlock> blocks(kBlocksAhead, [&](const auto& give) { read_blocks(rows, give); });
    for (RowBlock block; !sink.full() && blocks.next(block);) {
      throw_if_stopped(options.stop);
      rows_tokenizer.add(block);
    }
  }
  rows_tokenizer.finish();
  TokenizedRows counts = rows_tokenizer.counts;
  counts.n_samples = sink.n_samples();
  counts.n_tokens = sink.n_tokens();
  QE_CHECK(counts.n_rows > 0, name, ": the dataset is empty");
  QE_CHECK(counts.n_samples > 0, name, ": no sample results from ", counts.n_rows, " rows: ",
           options.line_by_line || options.wrap_pieces
               ? std::string("all of them are blank")
               : cat("joined, they have ", rows_tokenizer.n_left_over,
                     " tokens, less than max_seq_length ", options.max_length,
                     " (use a smaller one, or line_by_line)"));
  return counts;
}

}  // namespace qe
