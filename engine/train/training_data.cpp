// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/training_data.h"

#include <algorithm>

#include "engine/train/token_cache.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

int64_t sequence_length(const RunConfig& config, const EncoderConfig& encoder,
                        const Tokenizer& tokenizer) {
  const int64_t positions = encoder.max_length();
  QE_CHECK(config.max_seq_length <= positions, "max_seq_length: ", config.max_seq_length,
           " exceeds the ", positions, " positions of ", config.model_name_or_path);
  if (config.max_seq_length > 0) return config.max_seq_length;
  const int64_t length = std::min<int64_t>(positions, 1024);
  return tokenizer.model_max_length() > 0 ? std::min(length, tokenizer.model_max_length()) : length;
}

TokenCachePlace cache_place(const RunConfig& config, bool trains, bool planning) {
  TokenCachePlace place{.folder = config.cache_dir, .overwrite = config.overwrite_cache};
  if (place.folder.empty() && !config.output_dir.empty()) {
    place.folder = config.output_dir + "/token_cache";
    place.may_write = trains && !planning;
  }
  return place;
}

}  // namespace

TrainingData load_training_data(const RunConfig& config, bool trains, bool planning,
                                const EncoderConfig& encoder, const Tokenizer& tokenizer,
                                ThreadPool& threads, const Log& log, StopToken stop) {
  const bool own_validation = !config.validation_file.empty();
  QE_CHECK(
      !config.train_file.empty() || (own_validation && !trains),
      trains ? "train_file: not given" : "validation_file: not given (nor train_file to split)");
  TokenRequest request{.columns = {config.text_column_name, config.text_pair_column_name},
                       .options = {.max_length = sequence_length(config, encoder, tokenizer),
                                   .line_by_line = config.line_by_line,
                                   .wrap_pieces = config.chunk_special_tokens == "chunks",
                                   .needs_words = config.whole_word_mask,
                                   .stop = stop},
                       .vocab_size = encoder.vocab_size};
  const TokenCachePlace place = cache_place(config, trains, planning);
  const auto load = [&](const std::string& name, RowPart part, int64_t max_samples) {
    if (!request.data || request.name != name) {
      request.data = std::make_shared<DataFiles>(dataset_files(name), stop);
    }
    request.name = name;
    request.part = part;
    request.options.max_samples = max_samples;
    return cached_tokens(request, tokenizer, place, threads, log);
  };
  using Which = RowPart::Which;
  const double share = own_validation ? 0.0 : config.validation_split_percentage / 100.0;
  TrainingData data;
  if (trains) {
    data.train = load(config.train_file, {share > 0 ? Which::kRest : Which::kAll, share},
                      config.max_train_samples);
  }
  if (!trains || config.eval_strategy != "no" || config.eval_on_start) {
    data.evaluation =
        own_validation ? load(config.validation_file, {}, config.max_eval_samples)
                       : load(config.train_file, {Which::kFirst, share}, config.max_eval_samples);
  } else if (own_validation) {
    dataset_files(config.validation_file);  // it is not needed, but what it names must be known
  }
  return data;
}

}  // namespace qe
