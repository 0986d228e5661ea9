// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// From samples to packed batches: data_loader, packed_batch.
#include "engine/train/data_loader.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/support/op_context.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/token_data.h"

namespace qe {

TEST_CASE("grouped_order: transformers' order for a permutation") {
  const Json golden = Json::parse_file(test::golden_path("settings/data.json"));
  const auto numbers = [](const Json& list) {
    std::vector<uint32_t> values;
    for (const Json& item : list.items()) values.push_back(static_cast<uint32_t>(item.as_int()));
    return values;
  };
  for (const Json& row : golden.at("group_by_length").items()) {
    TokenShardBuilder samples;
    for (const uint32_t length : numbers(row.at("lengths"))) {
      const std::vector<int32_t> ids(length, 100);
      samples.add(ids, {}, std::vector<uint8_t>(length, 0), {});
    }
    const TokenDataset dataset = dataset_of(samples);
    CHECK(grouped_order(numbers(row.at("shuffled")), dataset, row.at("batch").as_int()) ==
          numbers(row.at("grouped")));
  }
}

TEST_CASE("data_loader: grouped batches hold samples of like length, in another order each epoch") {
  TokenShardBuilder samples;
  for (int64_t s = 0; s < 96; ++s) {
    const std::vector<int32_t> ids(static_cast<size_t>(1 + s * 7 % 24), 100);
    samples.add(ids, {}, std::vector<uint8_t>(ids.size(), 0), {});
  }
  const TokenDataset dataset = dataset_of(samples);
  DataLoader loader(dataset, collator(kMask),
                    {.batch_size = 4, .order = SampleOrder::kGrouped, .seed = 3});
  std::set<std::vector<uint32_t>> firsts;
  for (uint32_t epoch = 0; epoch < 2; ++epoch) {
    std::multiset<uint32_t> seen;
    PackedBatch batch;
    for (int64_t i = 0; i < loader.epochs().batches(epoch); ++i) {
      loader.load_batch(epoch, i, batch);
      seen.insert(batch.sample_ids.begin(), batch.sample_ids.end());
      if (i == 0) {
        CHECK(batch.max_length == 24);
        firsts.insert(batch.sample_ids);
      }
      const int64_t longest = batch.max_length;
      if (i > 0) CHECK(batch.n_tokens() > 4 * longest - 24);
    }
    CHECK(std::set<uint32_t>(seen.begin(), seen.end()).size() == 96);
  }
  CHECK(firsts.size() == 2);
}

TEST_CASE("data_loader: drop_last leaves out the batch that is not full") {
  const TokenDataset dataset = numbered(11, 8);
  DataLoader loader(dataset, collator(kMask),
                    {.batch_size = 2, .gradient_accumulation_steps = 2, .drop_last = true});
  CHECK(loader.epochs().batches(0) == 5);
  CHECK(loader.epochs().updates(0) == 3);
  std::vector<PackedBatch> batches;
  CHECK(loader.load_update(2, batches) == 1);
  CHECK(batches[0].n_sequences() == 2);
  CHECK(error_of([&] {
          DataLoader(dataset, collator(kMask), {.batch_size = 12, .drop_last = true});
        }) == "dataloader_drop_last: 11 samples do not fill one batch of 12");
}

TEST_CASE(
    "data_loader: batches by tokens hold what fits, in order; epochs differ in their number") {
  TokenShardBuilder samples;
  for (int64_t s = 0; s < 200; ++s) {
    const std::vector<int32_t> ids(static_cast<size_t>(2 + s * 7 % 23), 100);
    samples.add(ids, {}, std::vector<uint8_t>(ids.size(), 0), {});
  }
  const TokenDataset dataset = dataset_of(samples);
  CHECK(dataset.min_length() == 2);
  for (const SampleOrder order :
       {SampleOrder::kShuffled, SampleOrder::kSequential, SampleOrder::kGrouped}) {
    const LoaderOptions options{.batch_tokens = 40,
                                .gradient_accumulation_steps = 3,
                                .order = order,
                                .seed = 3,
                                .n_epochs = 7.5};
    DataLoader loader(dataset, collator(kMask), options);
    const EpochPlan& epochs = loader.epochs();
    std::vector<PackedBatch> batches;
    std::set<int64_t> counts;
    int64_t step = 0;
    for (int64_t epoch = 0; epoch < 8; ++epoch) {
      counts.insert(epochs.batches(epoch));
      std::vector<uint32_t> seen;
      int64_t before = 41, n_batches = 0;  // tokens of the batch before
      for (int64_t u = 0; u < epochs.updates(epoch); ++u, ++step) {
        const int64_t n = loader.load_update(step, batches);
        for (int64_t i = 0; i < n; ++i, ++n_batches) {
          const PackedBatch& batch = batches[i];
          REQUIRE(batch.n_tokens() <= 40);
          REQUIRE(before + batch.cu_seqlens[1] > 40);  // its first would not have fitted
          before = batch.n_tokens();
          seen.insert(seen.end(), batch.sample_ids.begin(), batch.sample_ids.end());
        }
      }
      CHECK(n_batches == epochs.batches(epoch));
      CHECK(seen.size() == 200);
      CHECK(std::set<uint32_t>(seen.begin(), seen.end()).size() == 200);
      if (order == SampleOrder::kShuffled) {
        CHECK(seen == shuffled_order(200, 3, static_cast<uint32_t>(epoch)));
      }
    }
    CHECK(epochs.updates_of(8) == step);
    CHECK((counts.size() > 1) == (order != SampleOrder::kSequential));
    // From anywhere, and for a run of so many updates.
    DataLoader other(dataset, collator(kMask),
                     {.batch_tokens = 40,
                      .gradient_accumulation_steps = 3,
                      .order = order,
                      .seed = 3,
                      .n_updates = step});
    std::vector<PackedBatch> again;
    other.load_update(step - 1, again);
    CHECK(again[0].token_ids == batches[0].token_ids);
  }
  CHECK(error_of([&] { DataLoader(dataset, collator(kMask), {.batch_tokens = 23}); }) ==
        "per_device_train_batch_tokens: 23 tokens do not hold the longest sequence, of 24");
}

TEST_CASE("shuffled_order: a permutation that depends on seed and epoch only") {
  const std::vector<uint32_t> order = shuffled_order(1000, 7, 3);
  CHECK(std::set<uint32_t>(order.begin(), order.end()).size() == 1000);
  CHECK(*std::max_element(order.begin(), order.end()) == 999);
  CHECK(order == shuffled_order(1000, 7, 3));
  CHECK(order != shuffled_order(1000, 7, 4));
  CHECK(order != shuffled_order(1000, 8, 3));
  CHECK(shuffled_order(1, 7, 3) == std::vector<uint32_t>{0});
}

TEST_CASE("data_loader: an epoch visits every sample once; last batch and update may be smaller") {
  const TokenDataset dataset = numbered(11, 8);
  DataLoader loader(dataset, collator(kMask),
                    {.batch_size = 2, .gradient_accumulation_steps = 4, .seed = 3});
  CHECK(loader.epochs().batches(0) == 6);
  CHECK(loader.epochs().updates(0) == 2);
  std::vector<PackedBatch> batches;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    std::multiset<uint32_t> seen;
    for (int64_t u = 0; u < 2; ++u) {
      const int64_t n = loader.load_update(epoch * 2 + u, batches);
      CHECK(n == (u == 0 ? 4 : 2));
      for (int64_t i = 0; i < n; ++i) {
        seen.insert(batches[i].sample_ids.begin(), batches[i].sample_ids.end());
      }
    }
    CHECK(seen.size() == 11);
    CHECK(std::set<uint32_t>(seen.begin(), seen.end()).size() == 11);
  }
  // Going back gives what was seen before.
  loader.load_update(0, batches);
  const auto first = batches[0].token_ids;
  loader.load_update(3, batches);
  loader.load_update(0, batches);
  CHECK(batches[0].token_ids == first);
}

TEST_CASE("packed_batch: positions that skip padding ids, and token types that the model has") {
  EncoderConfig config = config_of_tiny();
  config.position_ids = PositionIds::kSkipPadding;
  config.pad_token_id = 1;
  config.position_offset = 2;
  PackedBatch batch;
  batch.append(config, 0, std::vector<int32_t>{0, 1, 5, 1, 1, 7}, {}, {});
  batch.append(config, 1, std::vector<int32_t>{1, 5}, {}, {});
  CHECK(batch.position_ids == std::vector<int32_t>{2, 1, 3, 1, 1, 4, 1, 2});
  const std::vector<int32_t> types{0, 2};
  CHECK(error_of([&] {
          batch.append(config, 3, std::vector<int32_t>{0, 5}, types, {});
        }) == "sample 3 has token type 2; the model has 2");
  config.vocab_size = 8;
  for (const int32_t id : {-1, 8}) {
    CHECK(error_of([&] {
            batch.append(config, 4, std::vector<int32_t>{0, id}, {}, {});
          }) == cat("sample 4 has token id ", id, ", outside the model's vocabulary of 8"));
  }
}

TEST_CASE("data_loader: updates made ahead are those of the loader") {
  const TokenDataset dataset = numbered(11, 8);
  const LoaderOptions options{.batch_size = 2, .gradient_accumulation_steps = 4, .seed = 3};
  DataLoader loader(dataset, collator(kMask), options), other(dataset, collator(kMask), options);
  std::vector<PackedBatch> ahead, batches;
  UpdateStream stream(loader, 1, 7, 16);
  for (int64_t step = 1; step < 7; ++step) {
    const int64_t n = stream.next(ahead);
    REQUIRE(n == other.load_update(step, batches));
    for (int64_t i = 0; i < n; ++i) {
      CHECK(ahead[i].token_ids == batches[i].token_ids);
      CHECK(ahead[i].labels == batches[i].labels);
      CHECK(ahead[i].sample_ids == batches[i].sample_ids);
      CHECK(ahead[i].token_capacity == 16);
    }
  }
  CHECK(stream.waited() >= 0);
  CHECK(error_of([&] { stream.next(ahead); }) == "there are no more updates");
}

TEST_CASE("packed_batch: positions, types and row coordinates restart with every sequence") {
  EncoderConfig config = config_of_tiny();
  config.position_offset = 2;
  PackedBatch batch;
  batch.append(config, 9, std::vector<int32_t>{2, 5, 3}, {}, {});
  batch.append(config, 4, std::vector<int32_t>{2, 3}, std::vector<int32_t>{0, 1},
               std::vector<int32_t>{-100, 77});
  CHECK(batch.cu_seqlens == std::vector<int32_t>{0, 3, 5});
  CHECK(batch.position_ids == std::vector<int32_t>{2, 3, 4, 2, 3});
  CHECK(batch.type_ids == std::vector<int32_t>{0, 0, 0, 0, 1});
  CHECK(batch.row_samples == std::vector<uint32_t>{9, 9, 9, 4, 4});
  CHECK(batch.row_indices == std::vector<uint32_t>{0, 1, 2, 0, 1});
  CHECK(batch.label_rows == std::vector<int32_t>{4});
  CHECK(batch.label_indices == std::vector<uint32_t>{1});
  CHECK(batch.max_length == 3);
  CHECK_THROWS_AS(batch.append(config, 0, {}, {}, {}), Error);
  const std::vector<int32_t> too_long(511, 5);
  CHECK_THROWS_AS(batch.append(config, 0, too_long, {}, {}), Error);
}

}  // namespace qe
