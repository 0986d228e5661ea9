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
               const Tokenizer& tokenizer, int64_t vocab_size, int64_t max_length) {
  const auto check = [&](int32_t id, const char* what) {
    QE_CHECK(id >= 0 && id < vocab_size, name, ":", record.line, ": ", what, " ", id,
             " is outside the model's vocabulary of ", vocab_size);
  };
  std::vector<uint8_t> special;
  for (const int32_t id : record.input_ids) {
    check(id, "token id");
    special.push_back(tokenizer.is_special(id) ? 1 : 0);
  }
  for (const int32_t label : record.labels) {
    if (label != kNoLabel) check(label, "label");
  }
  QE_CHECK(static_cast<int64_t>(record.input_ids.size()) <= max_length, name, ":", record.line,
           ": ", record.input_ids.size(), " input_ids exceed max_seq_length ", max_length);
  dataset.add(record.input_ids, record.token_type_ids, special, record.labels);
}

void check_ids(const Encoding& encoding, int64_t vocab_size, const Tokenizer& tokenizer) {
  for (const int32_t id : encoding.ids) {
    QE_CHECK(id >= 0 && id < vocab_size, "the tokenizer gives id ", id, " (\"", tokenizer.token(id),
             "\"), outside the model's vocabulary of ", vocab_size);
  }
}

// Joins encodings and cuts them into pieces of `length`; returns how many tokens were left over.
int64_t add_pieces(TokenDataset& dataset, std::span<const Encoding> group, int64_t length) {
  Encoding joined;
  for (const Encoding& e : group) {
    joined.ids.insert(joined.ids.end(), e.ids.begin(), e.ids.end());
    joined.type_ids.insert(joined.type_ids.end(), e.type_ids.begin(), e.type_ids.end());
    joined.special_tokens_mask.insert(joined.special_tokens_mask.end(),
                                      e.special_tokens_mask.begin(), e.special_tokens_mask.end());
  }
  const int64_t total = static_cast<int64_t>(joined.ids.size());
  int64_t begin = 0;
  for (; begin + length <= total; begin += length) {
    dataset.add(std::span<const int32_t>(joined.ids).subspan(begin, length),
                std::span<const int32_t>(joined.type_ids).subspan(begin, length),
                std::span<const uint8_t>(joined.special_tokens_mask).subspan(begin, length), {});
  }
  return total - begin;
}

std::vector<Encoding> encode_all(std::span<const Record> records, const Tokenizer& tokenizer,
                                 const Tokenizer::EncodeOptions& options, ThreadPool& threads) {
  constexpr int64_t kRowsPerTask = 64;
  const int64_t n = static_cast<int64_t>(records.size());
  std::vector<Encoding> encodings(n);
  threads.run((n + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task, int) {
    for (int64_t i = task * kRowsPerTask; i < std::min(n, (task + 1) * kRowsPerTask); ++i) {
      if (records[i].input_ids.empty()) encodings[i] = tokenizer.encode(records[i].text, options);
    }
  });
  return encodings;
}

}  // namespace

void TokenDataset::add(std::span<const int32_t> ids, std::span<const int32_t> type_ids,
                       std::span<const uint8_t> special, std::span<const int32_t> labels) {
  const size_t before = ids_.size();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  special_.insert(special_.end(), special.begin(), special.end());
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
  special_.resize(begins_.back());
  if (!type_ids_.empty()) type_ids_.resize(begins_.back());
  if (!labels_.empty()) labels_.resize(begins_.back());
}

std::string TokenDataset::hash() const {
  std::string parts;
  parts += hash_bytes(std::as_bytes(std::span(begins_)));
  parts += hash_bytes(std::as_bytes(std::span(ids_)));
  parts += hash_bytes(std::as_bytes(std::span(type_ids_)));
  parts += hash_bytes(std::as_bytes(std::span(special_)));
  parts += hash_bytes(std::as_bytes(std::span(labels_)));
  return hash_bytes(std::as_bytes(std::span(parts)));
}

TokenDataset tokenize_records(const std::vector<Record>& records, const std::string& name,
                              const Tokenizer& tokenizer, int64_t vocab_size,
                              const TokenizeOptions& options, ThreadPool& threads, const Log& log) {
  QE_CHECK(!records.empty(), name, ": the dataset is empty");
  TokenDataset dataset;
  int64_t n_replaced = 0;
  int64_t n_left_over = 0;
  const bool enough_rows = options.max_samples > 0;
  for (size_t begin = 0; begin < records.size(); begin += kRowsPerGroup) {
    if (enough_rows && dataset.size() >= options.max_samples) break;
    const std::span<const Record> group =
        std::span(records).subspan(begin, std::min(kRowsPerGroup, records.size() - begin));
    const Tokenizer::EncodeOptions encode{.max_length =
                                              options.line_by_line ? options.max_length : 0};
    const std::vector<Encoding> encodings = encode_all(group, tokenizer, encode, threads);
    std::vector<Encoding> to_join;
    for (size_t i = 0; i < group.size(); ++i) {
      const Record& record = group[i];
      const Encoding& e = encodings[i];
      if (!record.input_ids.empty()) {
        add_given(dataset, record, name, tokenizer, vocab_size, options.max_length);
        continue;
      }
      n_replaced += e.n_replaced_bytes;
      check_ids(e, vocab_size, tokenizer);
      if (!options.line_by_line) {
        to_join.push_back(e);
      } else if (!is_blank(record.text)) {
        dataset.add(e.ids, e.type_ids, e.special_tokens_mask, {});
      }
    }
    n_left_over += add_pieces(dataset, to_join, options.max_length);
  }
  if (n_replaced > 0) {
    log.warn(cat(name, ": ", n_replaced, " invalid UTF-8 sequences were replaced by U+FFFD"));
  }
  QE_CHECK(dataset.size() > 0, name, ": no training sample results from ", records.size(),
           " rows: ",
           options.line_by_line
               ? std::string("all of them are blank")
               : cat("joined, they have ", n_left_over, " tokens, less than max_seq_length ",
                     options.max_length, " (use a smaller one, or line_by_line)"));
  if (enough_rows) dataset.truncate(options.max_samples);
  return dataset;
}

}  // namespace qe
