// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Rows to samples, as a stream: rows are read ahead on a thread of their own, tokenized on all
// threads, and become shards. Memory does not depend on how many there are.

#include <cstdint>
#include <functional>
#include <string>

#include "engine/train/stop_token.h"
#include "formats/dataset/dataset_files.h"
#include "formats/token_shard.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/parallel.h"

namespace qe {

struct TokenizeOptions {
  int64_t max_length = 512;   ///< tokens per sample, special tokens included
  bool line_by_line = false;  ///< a row is a sample, truncated; else rows are joined and cut
  /// Joined rows: special tokens around every piece ([CLS] piece [SEP]), not around every row.
  bool wrap_pieces = false;
  int64_t max_samples = 0;   ///< 0 = all; no more rows are read then
  bool needs_words = false;  ///< rows of input_ids to be masked are an Error: they have no words
  int64_t tokens_per_shard = int64_t{8} << 20;  ///< a shard ends with the sample that reaches this
  StopToken stop = nullptr;
};

struct TokenizedRows {
  int64_t n_rows = 0;  ///< read
  int64_t n_samples = 0, n_tokens = 0;
  int64_t n_replaced_bytes = 0;  ///< invalid UTF-8 sequences replaced by U+FFFD
};

/// Calls its argument with every row in order, until that gives false.
using RowSource = std::function<void(const RowTake&)>;

/// Tokenizes rows. Line by line: blank rows are dropped, the others truncated; a row with
/// a second text becomes [CLS] text [SEP] pair [SEP], the longer of the two truncated first; it is
/// an Error in the other mode. Otherwise as
/// run_mlm.py does: rows are tokenized with their special tokens, joined in groups of 1000 rows and
/// cut into max_length pieces; the remainder of every group is dropped. With wrap_pieces, all rows
/// are joined without special tokens, every piece gets its own, and the last, shorter one is kept.
/// Rows that hold input_ids are taken as they are. `take_shard` gets the shards in order; what they
/// hold does not depend on the number of threads. `rows` runs on a thread of its own. `name` stands
/// for the dataset in messages. Throws Error when no sample results, or ids leave the vocabulary;
/// Stopped.
TokenizedRows tokenize_rows(const RowSource& rows, const std::string& name,
                            const Tokenizer& tokenizer, int64_t vocab_size,
                            const TokenizeOptions& options, ThreadPool& threads,
                            const std::function<void(const TokenShardBuilder&)>& take_shard);

}  // namespace qe
