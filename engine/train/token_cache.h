// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A dataset is tokenized once. Its shards are kept in a folder whose name is a hash of all that
// decides on them: the content of the data files, the tokenizer's files, the options. Whoever asks
// for the same again maps them. What is there is checked to the last byte before it is used.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/train/token_dataset.h"
#include "engine/train/tokenize_rows.h"
#include "kernels/core/log.h"

namespace qe {

/// Which rows of the files: all, or the first n_eval or the others, n_eval being the share of their
/// number, rounded.
struct RowPart {
  enum class Which { kAll, kFirst, kRest };
  Which which = Which::kAll;
  double share = 0;
};

/// The files of a dataset. What has been found out about them is kept: it takes a pass over them,
/// which throws Stopped when `stop` is set.
class DataFiles {
 public:
  explicit DataFiles(std::vector<std::string> paths, StopToken stop = nullptr)
      : paths_(std::move(paths)), stop_(stop) {}
  const std::vector<std::string>& paths() const { return paths_; }
  const std::vector<std::string>& hashes();  ///< of each one's content
  int64_t n_rows(const TextColumns& columns);

 private:
  std::vector<std::string> paths_, hashes_;
  StopToken stop_;
  int64_t n_rows_ = -1;
};

struct TokenRequest {
  std::shared_ptr<DataFiles> data;
  TextColumns columns;  ///< the same for all requests of the data
  RowPart part;
  TokenizeOptions options;
  std::string name;  ///< of the dataset in messages
  int64_t vocab_size = 0;
};

struct TokenCachePlace {
  std::string
      folder;  ///< that holds caches; "": the shards of this run lie in files without a name
  bool may_write = true;   ///< false: it is only looked into
  bool overwrite = false;  ///< what is there is made again
};

/// The dataset, from the cache if it is there and whole; else tokenized, and kept there. A broken
/// cache is named in a warning and made again. Invalid UTF-8 is counted and logged. Throws Error as
/// tokenize_rows does, and when files cannot be read or written.
TokenDataset cached_tokens(const TokenRequest& request, const Tokenizer& tokenizer,
                           const TokenCachePlace& place, ThreadPool& threads, const Log& log);

}  // namespace qe
