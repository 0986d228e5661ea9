// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/token_dataset.h"

#include <algorithm>

#include "engine/model/packed_batch.h"
#include "formats/hash.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kRowsPerGroup = 1000;  // run_mlm.py's map batch

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\n\r\v\f") == std::string::npos;
}

// Adds a row of given ids, checked.
void add_given(TokenDataset& dataset, const Record& record, const std::string& name,
               const Tokenizer& tokenizer, int64_t vocab_size, const TokenizeOptions& options) {
  const auto check = [&](int32_t id, const char* what) {
    QE_CHECK(id >= 0 && id < vocab_size, name, ":", record.line, ": ", what, " ", id,
             " is outside the model's vocabulary of ", vocab_size);
  };
  std::vector<uint8_t> flags;
  for (const int32_t id : record.input_ids) {
    check(id, "token id");
    flags.push_back(tokenizer.is_special(id) ? kSpecialToken : 0);
  }
  for (const int32_t label : record.labels) {
    if (label != kNoLabel) check(label, "label");
  }
  QE_CHECK(static_cast<int64_t>(record.input_ids.size()) <= options.max_length, name, ":",
           record.line, ": ", record.input_ids.size(), " input_ids exceed max_seq_length ",
           options.max_length);
  QE_CHECK(!options.needs_words || !record.labels.empty(), name, ":", record.line,
           ": whole_word_mask needs the words of the text: give text instead of input_ids, or "
           "labels beside them");
  dataset.add(record.input_ids, record.token_type_ids, flags, record.labels);
}

void check_ids(const Encoding& encoding, int64_t vocab_size, const Tokenizer& tokenizer) {
  for (const int32_t id : encoding.ids) {
    QE_CHECK(id >= 0 && id < vocab_size, "the tokenizer gives id ", id, " (\"", tokenizer.token(id),
             "\"), outside the model's vocabulary of ", vocab_size);
  }
}

// Rows joined into one stream, cut into pieces from its front.
class Joiner {
 public:
  // prefix and suffix: the special tokens around every piece, or empty.
  Joiner(int64_t length, std::vector<int32_t> prefix, std::vector<int32_t> suffix)
      : piece_(length - static_cast<int64_t>(prefix.size() + suffix.size())),
        prefix_(std::move(prefix)),
        suffix_(std::move(suffix)) {
    QE_CHECK(piece_ > 0, "max_seq_length: ", length, " leaves no room beside the special tokens");
  }

  void add(const Encoding& row) {
    ids_.insert(ids_.end(), row.ids.begin(), row.ids.end());
    const std::vector<uint8_t> flags = token_flags(row);
    flags_.insert(flags_.end(), flags.begin(), flags.end());
  }
  void cut_full_pieces(TokenDataset& dataset) {
    int64_t begin = 0;
    const int64_t total = static_cast<int64_t>(ids_.size());
    for (; begin + piece_ <= total; begin += piece_) emit(dataset, begin, piece_);
    ids_.erase(ids_.begin(), ids_.begin() + begin);
    flags_.erase(flags_.begin(), flags_.begin() + begin);
  }
  void cut_remainder(TokenDataset& dataset) {
    if (!ids_.empty()) emit(dataset, 0, static_cast<int64_t>(ids_.size()));
    drop_remainder();
  }
  int64_t drop_remainder() {
    const int64_t n = static_cast<int64_t>(ids_.size());
    ids_.clear();
    flags_.clear();
    return n;
  }

 private:
  void emit(TokenDataset& dataset, int64_t begin, int64_t n) {
    std::vector<int32_t> ids = prefix_;
    ids.insert(ids.end(), ids_.begin() + begin, ids_.begin() + begin + n);
    ids.insert(ids.end(), suffix_.begin(), suffix_.end());
    std::vector<uint8_t> flags(prefix_.size(), kSpecialToken);
    flags.insert(flags.end(), flags_.begin() + begin, flags_.begin() + begin + n);
    flags.resize(ids.size(), kSpecialToken);
    dataset.add(ids, {}, flags, {});
  }
  int64_t piece_;
  std::vector<int32_t> prefix_, suffix_;
  std::vector<int32_t> ids_;
  std::vector<uint8_t> flags_;
};

Joiner make_joiner(const Tokenizer& tokenizer, const std::string& name,
                   const TokenizeOptions& options) {
  if (!options.wrap_pieces) return Joiner(options.max_length, {}, {});
  QE_CHECK(tokenizer.cls_id() && tokenizer.sep_id(), name,
           ": chunk_special_tokens \"chunks\" needs a tokenizer with cls and sep tokens");
  return Joiner(options.max_length, {*tokenizer.cls_id()}, {*tokenizer.sep_id()});
}

std::vector<Encoding> encode_all(std::span<const Record> records, const Tokenizer& tokenizer,
                                 const Tokenizer::EncodeOptions& options, ThreadPool& threads) {
  constexpr int64_t kRowsPerTask = 64;
  const int64_t n = static_cast<int64_t>(records.size());
  std::vector<Encoding> encodings(n);
  threads.run((n + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task, int) {
    for (int64_t i = task * kRowsPerTask; i < std::min(n, (task + 1) * kRowsPerTask); ++i) {
      const Record& record = records[i];
      if (!record.input_ids.empty()) continue;
      encodings[i] = record.pair ? tokenizer.encode_pair(record.text, *record.pair, options)
                                 : tokenizer.encode(record.text, options);
    }
  });
  return encodings;
}

}  // namespace

std::vector<uint8_t> token_flags(const Encoding& encoding) {
  std::vector<uint8_t> flags;
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    uint8_t flag = encoding.special_tokens_mask[i] ? kSpecialToken : 0;
    if (flag == 0 && i > 0 && encoding.special_tokens_mask[i - 1] == 0) {
      if (encoding.word_ids[i] == encoding.word_ids[i - 1]) flag |= kInsideWord;
      if (encoding.offsets[i].first == encoding.offsets[i - 1].second) flag |= kTouchesPrevious;
    }
    flags.push_back(flag);
  }
  return flags;
}

void TokenDataset::add(std::span<const int32_t> ids, std::span<const int32_t> type_ids,
                       std::span<const uint8_t> flags, std::span<const int32_t> labels) {
  const size_t before = ids_.size();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  flags_.insert(flags_.end(), flags.begin(), flags.end());
  const bool any_type = std::any_of(type_ids.begin(), type_ids.end(), [](int32_t t) { return t; });
  if (any_type) type_ids_.resize(before, 0);
  if (any_type || !type_ids_.empty()) {
    type_ids_.insert(type_ids_.end(), type_ids.begin(), type_ids.end());
    type_ids_.resize(ids_.size(), 0);
  }
  if (!labels.empty()) labels_.resize(before, kNoLabel);
  if (!labels.empty() || !labels_.empty()) {
    labels_.insert(labels_.end(), labels.begin(), labels.end());
    labels_.resize(ids_.size(), kNoLabel);
  }
  has_labels_.push_back(labels.empty() ? 0 : 1);
  begins_.push_back(static_cast<int64_t>(ids_.size()));
  max_length_ = std::max(max_length_, static_cast<int64_t>(ids.size()));
}

void TokenDataset::truncate(int64_t n) {
  if (n >= size()) return;
  begins_.resize(n + 1);
  has_labels_.resize(n);
  ids_.resize(begins_.back());
  flags_.resize(begins_.back());
  if (!type_ids_.empty()) type_ids_.resize(begins_.back());
  if (!labels_.empty()) labels_.resize(begins_.back());
}

std::string TokenDataset::hash() const {
  std::string parts;
  parts += hash_bytes(std::as_bytes(std::span(begins_)));
  parts += hash_bytes(std::as_bytes(std::span(ids_)));
  parts += hash_bytes(std::as_bytes(std::span(type_ids_)));
  parts += hash_bytes(std::as_bytes(std::span(flags_)));
  parts += hash_bytes(std::as_bytes(std::span(labels_)));
  return hash_bytes(std::as_bytes(std::span(parts)));
}

TokenDataset tokenize_records(const std::vector<Record>& records, const std::string& name,
                              const Tokenizer& tokenizer, int64_t vocab_size,
                              const TokenizeOptions& options, ThreadPool& threads, const Log& log) {
  QE_CHECK(!records.empty(), name, ": the dataset is empty");
  TokenDataset dataset;
  Joiner joiner = make_joiner(tokenizer, name, options);
  int64_t n_replaced = 0;
  int64_t n_left_over = 0;
  const bool limited = options.max_samples > 0;
  const Tokenizer::EncodeOptions encode{
      .add_special_tokens = options.line_by_line || !options.wrap_pieces,
      .max_length = options.line_by_line ? options.max_length : 0};
  for (size_t begin = 0; begin < records.size(); begin += kRowsPerGroup) {
    if (limited && dataset.size() >= options.max_samples) break;
    const std::span<const Record> group =
        std::span(records).subspan(begin, std::min(kRowsPerGroup, records.size() - begin));
    const std::vector<Encoding> encodings = encode_all(group, tokenizer, encode, threads);
    for (size_t i = 0; i < group.size(); ++i) {
      const Record& record = group[i];
      const Encoding& e = encodings[i];
      if (!record.input_ids.empty()) {
        add_given(dataset, record, name, tokenizer, vocab_size, options);
        continue;
      }
      QE_CHECK(options.line_by_line || !record.pair, name, ":", record.line,
               ": a row with a second text is a sequence of its own: set line_by_line, or give one "
               "text column only");
      n_replaced += e.n_replaced_bytes;
      check_ids(e, vocab_size, tokenizer);
      if (!options.line_by_line) {
        joiner.add(e);
      } else if (!(is_blank(record.text) && is_blank(record.pair.value_or("")))) {
        dataset.add(e.ids, e.type_ids, token_flags(e), {});
      }
    }
    joiner.cut_full_pieces(dataset);
    if (!options.wrap_pieces) n_left_over += joiner.drop_remainder();
  }
  joiner.cut_remainder(dataset);
  if (n_replaced > 0) {
    log.warn(cat(name, ": ", n_replaced, " invalid UTF-8 sequences were replaced by U+FFFD"));
  }
  QE_CHECK(dataset.size() > 0, name, ": no sample results from ", records.size(), " rows: ",
           options.line_by_line || options.wrap_pieces
               ? std::string("all of them are blank")
               : cat("joined, they have ", n_left_over, " tokens, less than max_seq_length ",
                     options.max_length, " (use a smaller one, or line_by_line)"));
  if (limited) dataset.truncate(options.max_samples);
  return dataset;
}

}  // namespace qe
