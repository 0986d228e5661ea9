// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/data_loader.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "kernels/core/error.h"

namespace qe {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

std::vector<uint32_t> shuffled_order(int64_t n, uint64_t seed, uint32_t epoch) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  const PhiloxKey key = philox_key(seed, RandomPurpose::kShuffle);
  for (int64_t i = n - 1; i > 0; --i) {
    const Philox4 bits = philox4x32(key, Philox4{static_cast<uint32_t>(i), epoch, 0, 0});
    const uint64_t draw = (uint64_t{bits.x} << 32) | bits.y;
    std::swap(order[i], order[draw % static_cast<uint64_t>(i + 1)]);
  }
  return order;
}

std::vector<uint32_t> grouped_order(const std::vector<uint32_t>& shuffled,
                                    const TokenDataset& dataset, int64_t update_size) {
  std::vector<uint32_t> order = shuffled;
  if (order.empty()) return order;
  const int64_t n = static_cast<int64_t>(order.size());
  const int64_t n_updates = std::max<int64_t>(1, std::min<int64_t>(n / (4 * update_size), 50));
  const int64_t group = n_updates * update_size;
  const auto length = [&](uint32_t sample) { return dataset.ids(sample).size(); };
  int64_t longest = 0;
  for (int64_t begin = 0; begin < n; begin += group) {
    std::stable_sort(order.begin() + begin, order.begin() + std::min(n, begin + group),
                     [&](uint32_t a, uint32_t b) { return length(a) > length(b); });
    if (length(order[begin]) > length(order[longest])) longest = begin;
  }
  std::swap(order[0], order[longest]);
  return order;
}

DataLoader::DataLoader(const TokenDataset& dataset, MlmCollator collator,
                       const LoaderOptions& options)
    : dataset_(dataset),
      collator_(std::move(collator)),
      options_(options),
      epochs_(count_batches(), options.gradient_accumulation_steps) {}

// What EpochPlan wants.
std::vector<int64_t> DataLoader::count_batches() {
  const int64_t n = dataset_.size();
  if (options_.batch_tokens == 0) {
    const int64_t n_batches =
        options_.drop_last ? n / options_.batch_size : ceil_div(n, options_.batch_size);
    QE_CHECK(n_batches > 0, "dataloader_drop_last: ", n, " samples do not fill one batch of ",
             options_.batch_size);
    return {n_batches};
  }
  QE_CHECK(dataset_.max_length() <= options_.batch_tokens,
           "per_device_train_batch_tokens: ", options_.batch_tokens,
           " tokens do not hold the longest sequence, of ", dataset_.max_length());
  const bool alike = options_.order == SampleOrder::kSequential ||
                     dataset_.n_tokens() == n * dataset_.max_length();
  std::vector<int64_t> counts;
  int64_t n_updates = 0;
  do {
    enter(static_cast<int64_t>(counts.size()));
    counts.push_back(static_cast<int64_t>(begins_.size()) - 1);
    n_updates += ceil_div(counts.back(), options_.gradient_accumulation_steps);
  } while (!alike &&
           (options_.n_updates > 0 ? n_updates < options_.n_updates
                                   : static_cast<double>(counts.size()) < options_.n_epochs));
  return counts;
}

// Makes order_ and begins_ those of an epoch.
void DataLoader::enter(int64_t epoch) {
  const bool sequential = options_.order == SampleOrder::kSequential;
  if (epoch_ == epoch || (sequential && epoch_ >= 0)) return;
  epoch_ = epoch;
  const int64_t n = dataset_.size();
  if (!sequential) order_ = shuffled_order(n, options_.seed, static_cast<uint32_t>(epoch));
  if (options_.order == SampleOrder::kGrouped) {
    const int64_t batch_size =
        options_.batch_tokens == 0
            ? options_.batch_size
            : std::max<int64_t>(1, options_.batch_tokens * n / dataset_.n_tokens());
    order_ = grouped_order(order_, dataset_, batch_size * options_.gradient_accumulation_steps);
  }
  if (options_.batch_tokens == 0) return;
  begins_.assign(1, 0);
  int64_t n_tokens = 0;
  for (int64_t place = 0; place < n; ++place) {
    const auto length = static_cast<int64_t>(dataset_.ids(sample_at(place)).size());
    if (n_tokens + length > options_.batch_tokens) {
      begins_.push_back(place);
      n_tokens = 0;
    }
    n_tokens += length;
  }
  begins_.push_back(n);
}

int64_t DataLoader::load_update(int64_t step, std::vector<PackedBatch>& micro_batches) {
  const EpochPlan::Place at = epochs_.place_of(step);
  const int64_t first = at.update * options_.gradient_accumulation_steps;
  const int64_t n =
      std::min(options_.gradient_accumulation_steps, epochs_.batches(at.epoch) - first);
  if (rate_) collator_.set_mlm_probability(rate_->at(step));
  if (static_cast<int64_t>(micro_batches.size()) < n) micro_batches.resize(n);
  for (int64_t i = 0; i < n; ++i) {
    load_batch(static_cast<uint32_t>(at.epoch), first + i, micro_batches[i]);
  }
  return n;
}

UpdateStream::UpdateStream(DataLoader& loader, int64_t first, int64_t end, int64_t token_capacity)
    : ahead_(2, [&loader, first, end, token_capacity](const auto& give) {
        Update update;
        for (int64_t step = first; step < end; ++step) {
          update.n = loader.load_update(step, update.batches);
          for (PackedBatch& batch : update.batches) {
            batch.token_capacity = token_capacity;
            batch.label_capacity = token_capacity;
          }
          if (!give(update)) return;
        }
      }) {}

int64_t UpdateStream::next(std::vector<PackedBatch>& micro_batches) {
  const auto start = std::chrono::steady_clock::now();
  QE_CHECK(ahead_.next(update_), "there are no more updates");
  waited_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::swap(micro_batches, update_.batches);
  return update_.n;
}

void DataLoader::load_batch(uint32_t epoch, int64_t index, PackedBatch& batch) {
  enter(epoch);
  batch.clear();
  int64_t begin = index * options_.batch_size;
  int64_t end = std::min(begin + options_.batch_size, dataset_.size());
  if (options_.batch_tokens > 0) {
    begin = begins_[static_cast<size_t>(index)];
    end = begins_[static_cast<size_t>(index) + 1];
  }
  for (int64_t place = begin; place < end; ++place) {
    collator_.append(dataset_, sample_at(place), epoch, batch);
  }
}

}  // namespace qe
