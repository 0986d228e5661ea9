// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/token_cache.h"

#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>

#include "formats/atomic_write.h"
#include "formats/dataset/registry.h"
#include "formats/hash.h"
#include "formats/json.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// To be raised when any tokenizer gives other ids or flags than before for the same files.
constexpr int64_t kTokenizerRevision = 1;
constexpr const char* kManifest = "tokens.json";
constexpr const char* kPrefix = "tokens-";

std::string shard_name(size_t k) {
  char name[32];
  std::snprintf(name, sizeof name, "%06zu.shard", k);
  return name;
}

/// Everything that the shards depend on.
Json key_of(const TokenRequest& request, const Tokenizer& tokenizer) {
  std::vector<Json> data, tokenizer_files;
  const std::vector<std::string>& hashes = request.data->hashes();
  for (size_t i = 0; i < hashes.size(); ++i) {
    const DatasetFileType type = dataset_file_type(request.data->paths()[i]);
    data.push_back(Json::object(
        {{"type", cat(type.format->extension, type.compression ? type.compression->extension : "")},
         {"hash", hashes[i]}}));
  }
  for (const std::string& path : tokenizer.files()) {
    tokenizer_files.push_back(
        Json::object({{"name", fs::path(path).filename().string()}, {"hash", hash_file(path)}}));
  }
  const TokenizeOptions& options = request.options;
  const RowPart& part = request.part;
  const char* which = part.which == RowPart::Which::kAll     ? "all"
                      : part.which == RowPart::Which::kFirst ? "first"
                                                             : "rest";
  return Json::object({{"revision", kTokenizerRevision},
                       {"data", Json::array(std::move(data))},
                       {"text_column", request.columns.text},
                       {"text_pair_column", request.columns.pair},
                       {"rows", which},
                       {"share", part.share},
                       {"tokenizer", Json::array(std::move(tokenizer_files))},
                       {"vocab_size", request.vocab_size},
                       {"max_length", options.max_length},
                       {"line_by_line", options.line_by_line},
                       {"wrap_pieces", options.wrap_pieces},
                       {"max_samples", options.max_samples},
                       {"needs_words", options.needs_words},
                       {"tokens_per_shard", options.tokens_per_shard}});
}

/// What a cache folder holds.
struct CachedTokens {
  TokenDataset dataset;
  int64_t n_replaced_bytes = 0;
};

/// Maps and checks a cache folder. Error when anything in it is not as it was written for this key.
CachedTokens open_cache(const std::string& folder, const Json& key, int64_t vocab_size,
                        ThreadPool& threads) {
  const std::string manifest_path = folder + "/" + kManifest;
  const Json manifest = Json::parse_file(manifest_path, size_t{64} << 20);
  QE_CHECK(manifest.at("key").dump() == key.dump(), manifest_path,
           ": made for other data, another tokenizer or other settings");
  const std::vector<Json>& entries = manifest.at("shards").items();
  QE_CHECK(!entries.empty(), manifest_path, ": no shards");
  std::vector<std::optional<TokenShard>> mapped(entries.size());
  threads.run(static_cast<int64_t>(entries.size()), [&](int64_t k, int) {
    mapped[k] = TokenShard::map(folder + "/" + shard_name(static_cast<size_t>(k)),
                                entries[k].as_string(), vocab_size);
  });
  std::vector<TokenShard> shards;
  for (std::optional<TokenShard>& shard : mapped) shards.push_back(std::move(*shard));
  return {TokenDataset(std::move(shards)), manifest.at("invalid_utf8").as_int()};
}

/// The rows of a part of the files. Counts them first where the part depends on their number.
RowSource rows_of(const TokenRequest& request) {
  int64_t begin = 0, end = std::numeric_limits<int64_t>::max();
  if (request.part.which != RowPart::Which::kAll && request.part.share > 0) {
    const auto n_rows = static_cast<double>(request.data->n_rows(request.columns));
    const int64_t n = std::llround(request.part.share * n_rows);
    (request.part.which == RowPart::Which::kFirst ? end : begin) = n;
  } else if (request.part.which == RowPart::Which::kFirst) {
    end = 0;
  }
  return [&request, begin, end](const RowTake& take) {
    int64_t n = 0;
    read_files(request.data->paths(), request.columns, [&](Record&& row, const std::string& file) {
      const int64_t k = n++;
      if (k < begin) return true;
      return k < end && take(std::move(row), file);
    });
  };
}

/// Tokenizes into an empty folder.
void fill_cache(const std::string& folder, const TokenRequest& request, const Json& key,
                const Tokenizer& tokenizer, ThreadPool& threads, const Log& log) {
  constexpr std::chrono::seconds kBetweenLines{20};
  std::vector<Json> hashes;
  Clock::time_point last_line = Clock::now();
  int64_t n_samples = 0;
  const TokenizedRows counts =
      tokenize_rows(rows_of(request), request.name, tokenizer, request.vocab_size, request.options,
                    threads, [&](const TokenShardBuilder& shard) {
                      const std::string path = folder + "/" + shard_name(hashes.size());
                      write_new_file(path, [&](const Append& append) { shard.write(append); });
                      hashes.emplace_back(hash_file(path));
                      n_samples += shard.size();
                      if (Clock::now() - last_line < kBetweenLines) return;
                      last_line = Clock::now();
                      log.info(cat(request.name, ": ", n_samples, " samples tokenized"));
                    });
  const Json manifest = Json::object({{"key", key},
                                      {"rows", counts.n_rows},
                                      {"samples", counts.n_samples},
                                      {"tokens", counts.n_tokens},
                                      {"invalid_utf8", counts.n_replaced_bytes},
                                      {"shards", Json::array(std::move(hashes))}});
  write_file_atomically(folder + "/" + kManifest, manifest.dump(1) + "\n");
}

/// What a run that was killed while it tokenized left behind. A running one writes every few
/// seconds.
void remove_leftovers(const std::string& folder) {
  constexpr std::chrono::hours kOld{24};
  std::error_code error;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(cat(".", kPrefix)) || name.find(".tmp-") == std::string::npos) continue;
    std::error_code ignored;
    const fs::file_time_type written = fs::last_write_time(entry->path(), ignored);
    if (ignored || fs::file_time_type::clock::now() - written < kOld) continue;
    fs::remove_all(entry->path(), ignored);
  }
}

/// A new folder under the system's temporary one; removed, with all in it, at the end.
class TemporaryShards {
 public:
  TemporaryShards() : path_((fs::temp_directory_path() / "qlora-engine-XXXXXX").string()) {
    QE_CHECK(::mkdtemp(path_.data()) != nullptr, path_, ": cannot create a folder");
  }
  ~TemporaryShards() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryShards(const TemporaryShards&) = delete;
  TemporaryShards& operator=(const TemporaryShards&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

CachedTokens make_and_open(const std::string& folder, const TokenRequest& request, const Json& key,
                           const Tokenizer& tokenizer, bool keep, ThreadPool& threads,
                           const Log& log) {
  if (!keep) {  // mapped files last as long as they are mapped
    const TemporaryShards temporary;
    fill_cache(temporary.path(), request, key, tokenizer, threads, log);
    return open_cache(temporary.path(), key, request.vocab_size, threads);
  }
  const std::string parent = fs::path(folder).parent_path().string();
  require_writable_folder(parent);
  remove_leftovers(parent);
  write_folder_atomically(folder, [&](const std::string& temporary) {
    fill_cache(temporary, request, key, tokenizer, threads, log);
  });
  return open_cache(folder, key, request.vocab_size, threads);
}

}  // namespace

const std::vector<std::string>& DataFiles::hashes() {
  while (hashes_.size() < paths_.size()) {
    throw_if_stopped(stop_);
    hashes_.push_back(hash_file(paths_[hashes_.size()]));
  }
  return hashes_;
}

int64_t DataFiles::n_rows(const TextColumns& columns) {
  if (n_rows_ >= 0) return n_rows_;
  int64_t n = 0;
  read_files(paths_, columns, [&](Record&&, const std::string&) {
    ++n;
    return !is_stopped(stop_);
  });
  throw_if_stopped(stop_);
  return n_rows_ = n;
}

TokenDataset cached_tokens(const TokenRequest& request, const Tokenizer& tokenizer,
                           const TokenCachePlace& place, ThreadPool& threads, const Log& log) {
  const Json key = key_of(request, tokenizer);
  const std::string text = key.dump();
  const std::string folder =
      cat(place.folder, "/", kPrefix, hash_bytes(std::as_bytes(std::span(text))));
  std::optional<CachedTokens> found;
  if (!place.folder.empty() && !place.overwrite && folder_exists(folder)) {
    try {
      found = open_cache(folder, key, request.vocab_size, threads);
      log.info(cat(request.name, ": ", found->dataset.size(), " samples from ", folder));
    } catch (const Error& error) {
      log.warn(cat(error.what(), "; ", request.name, " is tokenized again"));
    }
  }
  if (!found) {
    const bool keep = !place.folder.empty() && place.may_write;
    found = make_and_open(folder, request, key, tokenizer, keep, threads, log);
  }
  if (found->n_replaced_bytes > 0) {
    log.warn(cat(request.name, ": ", found->n_replaced_bytes,
                 " invalid UTF-8 sequences were replaced by U+FFFD"));
  }
  return std::move(found->dataset);
}

}  // namespace qe
