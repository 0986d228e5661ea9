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
      n_batches_(options.drop_last ? dataset.size() / options.batch_size
                                   : ceil_div(dataset.size(), options.batch_size)),
      n_updates_(std::max<int64_t>(1, ceil_div(n_batches_, options.gradient_accumulation_steps))) {
  QE_CHECK(n_batches_ > 0, "dataloader_drop_last: ", dataset.size(),
           " samples do not fill one batch of ", options.batch_size);
}

int64_t DataLoader::load_update(int64_t step, std::vector<PackedBatch>& micro_batches) {
  const uint32_t epoch = static_cast<uint32_t>(step / n_updates_);
  const int64_t first = step % n_updates_ * options_.gradient_accumulation_steps;
  const int64_t n = std::min(options_.gradient_accumulation_steps, n_batches_ - first);
  if (static_cast<int64_t>(micro_batches.size()) < n) micro_batches.resize(n);
  for (int64_t i = 0; i < n; ++i) load_batch(epoch, first + i, micro_batches[i]);
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
  const bool sequential = options_.order == SampleOrder::kSequential;
  if (!sequential && order_epoch_ != epoch) {
    order_ = shuffled_order(dataset_.size(), options_.seed, epoch);
    if (options_.order == SampleOrder::kGrouped) {
      order_ = grouped_order(order_, dataset_,
                             options_.batch_size * options_.gradient_accumulation_steps);
    }
    order_epoch_ = epoch;
  }
  batch.clear();
  const int64_t begin = index * options_.batch_size;
  const int64_t end = std::min(begin + options_.batch_size, dataset_.size());
  for (int64_t i = begin; i < end; ++i) {
    collator_.append(dataset_, sequential ? i : order_[i], epoch, batch);
  }
}

}  // namespace qe
