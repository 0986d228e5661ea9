// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/starting_config.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

constexpr int64_t kShortRow = 32;  // tokens: a line below it is hardly a text of its own
constexpr int64_t kFewTokens = 1'000'000, kManyTokens = 30'000'000;
constexpr int64_t kFewUpdates = 300, kManyUpdates = 20'000;

class Chooser {
 public:
  explicit Chooser(const StartingFacts& facts) : f_(facts) {}

  std::vector<Choice> choose() {
    choose_sequences();
    choose_base();
    choose_adapter();
    choose_updates();
    choose_times();
    return std::move(choices_);
  }

 private:
  void add(const std::string& key, Json value, const std::string& reason) {
    choices_.push_back({key, std::move(value), reason});
  }

  int64_t quantile(double share) const {
    const auto last = static_cast<double>(f_.lengths.size() - 1);
    return f_.lengths[static_cast<size_t>(std::llround(share * last))];
  }

  void choose_sequences() {
    const int64_t median = quantile(0.5), most = quantile(0.99);
    const std::string rows = cat("rows have ", median, " tokens (median), ", most, " (99 %)");
    std::string why;
    if (f_.has_ids) {
      why = "rows are token ids already";
    } else if (f_.has_pairs) {
      why = "rows are pairs of texts, which cannot be joined";
    } else if (!f_.plain_lines && most <= f_.max_length) {
      why = "a row is a text, and fits: " + rows;
    } else if (f_.plain_lines && median >= kShortRow && most <= f_.max_length) {
      why = "lines are long enough to stand alone: " + rows;
    }
    line_by_line_ = !why.empty();
    if (line_by_line_) {
      add("line_by_line", true, why);
      const int64_t length = std::min(f_.max_length, (most + 7) / 8 * 8);
      add("max_seq_length", length,
          length == f_.max_length ? cat("as long as the model reads: ", rows)
                                  : "99 % of the rows fit; packed batches have no padding");
      sequences_ = f_.n_rows;
    } else {
      add("line_by_line", false,
          median < kShortRow
              ? cat("lines are short, so they are joined and cut: ", rows)
              : cat("rows do not fit the model, so they are joined and cut: ", rows));
      const int64_t length = std::min<int64_t>(f_.max_length, f_.on_gpu ? 512 : 128);
      add("max_seq_length", length,
          f_.on_gpu ? "long sequences have more to learn from"
                    : "attention over short sequences is cheaper on a CPU");
      add("chunk_special_tokens", "chunks", "special tokens around every piece, as models expect");
      const int64_t text_tokens = std::max<int64_t>(f_.n_tokens - f_.n_rows * f_.n_special, 1);
      sequences_ = std::max<int64_t>(text_tokens / std::max<int64_t>(length - f_.n_special, 1), 1);
    }
  }

  void choose_base() {
    if (!f_.stored_quantization.empty()) {
      add("bits", 4, cat("the folder holds ", f_.stored_quantization));
      return;
    }
    const int64_t unquantized = f_.n_parameters * (f_.on_gpu ? 2 : 4);
    const std::string sizes =
        cat("the base unquantized takes ", human_bytes(static_cast<uint64_t>(unquantized)),
            " of the ", human_bytes(static_cast<uint64_t>(f_.memory_bytes)), " that are free");
    if (unquantized > f_.memory_bytes / 10) {
      add("bits", 4, cat(sizes, ": NF4 takes ", f_.on_gpu ? "a quarter" : "an eighth"));
    } else {
      add("bits", 16, cat(sizes, ": nothing is gained by 4 bits"));
    }
  }

  void choose_adapter() {
    const bool few = f_.n_tokens < kFewTokens;
    const int64_t rank = few ? 8 : f_.n_tokens < kManyTokens ? 16 : 32;
    add("lora_r", rank,
        cat(human_count(f_.n_tokens), f_.all_rows ? "" : " and more",
            " tokens: more data fills more parameters"));
    add("lora_alpha", 2 * rank, "twice the rank: the usual scale");
    add("lora_dropout", few ? 0.1 : 0.0, few ? "little data" : "enough data to do without");
    add("target_modules", "all-linear", "adapters on every layer matter more than their rank");
  }

  void choose_updates() {
    // The micro-batch is chosen to fit; here only their product counts.
    add("per_device_train_batch_size", f_.on_gpu ? kStartingBatch : 8,
        f_.on_gpu ? "a GPU likes large batches" : "a CPU gains nothing from larger ones");
    add("gradient_accumulation_steps", f_.on_gpu ? 1 : kStartingBatch / 8,
        cat("updates of ", kStartingBatch, " sequences"));
    add("per_device_eval_batch_size", f_.on_gpu ? 2 * kStartingBatch : 8, "no gradients to keep");
    const bool small = f_.n_parameters < 50'000'000;
    add("learning_rate", small ? 1e-3 : 2e-4,
        small ? "small models take more" : "usual for LoRA, ten times that of full fine-tuning");
    add("warmup_ratio", 0.06, "RoBERTa's share");
    const int64_t trained = f_.own_validation ? sequences_ : sequences_ - sequences_ / 20;
    const int64_t per_epoch = std::max<int64_t>((trained + kStartingBatch - 1) / kStartingBatch, 1);
    const std::string epoch = cat("an epoch is ", f_.all_rows ? "" : "more than ",
                                  human_count(per_epoch), per_epoch == 1 ? " update" : " updates");
    if (!f_.all_rows || per_epoch > kManyUpdates) {
      total_ = kManyUpdates;
      add("max_steps", total_, cat(epoch, ": look at the curve before going on"));
      return;
    }
    const int64_t wanted = (kFewUpdates + per_epoch - 1) / per_epoch;
    const int64_t epochs = std::clamp<int64_t>(wanted, per_epoch * 3 > kManyUpdates ? 1 : 3, 20);
    total_ = per_epoch * epochs;
    add("num_train_epochs", static_cast<double>(epochs), epoch);
  }

  void choose_times() {
    if (!f_.own_validation) {
      add("validation_split_percentage", 5,
          "there is no validation file: the first rows are held out");
    }
    add("max_eval_samples", 2000, "enough to see differences of a hundredth");
    const int64_t every = round_number(std::max<int64_t>(total_ / 10, 1));
    add("eval_strategy", "steps", "by updates, whatever an epoch is");
    add("eval_steps", every, cat("about ten evaluations in ", human_count(total_), " updates"));
    add("save_strategy", "steps", "as the evaluations");
    add("save_steps", every, "with the evaluations, so that the best can be kept");
    add("save_total_limit", 2, "the best and the last");
    add("load_best_model_at_end", true, "what is in output_dir is the best of the run");
    add("logging_steps", round_number(std::max<int64_t>(total_ / 100, 1)),
        "a hundred points of the curve");
  }

  const StartingFacts& f_;
  std::vector<Choice> choices_;
  bool line_by_line_ = false;
  int64_t sequences_ = 0, total_ = 0;
};

}  // namespace

int64_t round_number(int64_t n) {
  int64_t power = 1;
  while (power * 10 <= n) power *= 10;
  return n >= 5 * power ? 5 * power : n >= 2 * power ? 2 * power : power;
}

std::vector<Choice> starting_choices(const StartingFacts& facts) {
  QE_CHECK(!facts.lengths.empty(), "there is no row to choose by");
  return Chooser(facts).choose();
}

}  // namespace qe::tools
