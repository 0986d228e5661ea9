// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/starting_config.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "formats/run_config.h"
#include "kernels/core/error.h"

using namespace qe;
using namespace qe::tools;

namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

StartingFacts bert_on_cpu() {
  return {.n_parameters = 110'000'000,
          .max_length = 512,
          .lengths = std::vector<int64_t>(100, 20),
          .n_rows = 10'000,
          .n_tokens = 200'000,
          .plain_lines = true,
          .own_validation = true,
          .memory_bytes = 16 * kGiB};
}

Json value_of(const StartingFacts& facts, const std::string& key) {
  for (const Choice& choice : starting_choices(facts))
    if (choice.key == key) return choice.value;
  return {};
}

/// The configuration that the choices make; throws when one is no setting.
RunConfig config_of(const StartingFacts& facts) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const Choice& c : starting_choices(facts)) {
    settings.emplace_back(c.key, c.value.is_string() ? c.value.as_string() : c.value.dump());
  }
  return read_run_config("", settings);
}

}  // namespace

TEST_CASE("starting_config: rows alone or joined") {
  StartingFacts facts = bert_on_cpu();
  CHECK_FALSE(value_of(facts, "line_by_line").as_bool());  // short lines
  CHECK(value_of(facts, "max_seq_length").as_int() == 128);
  CHECK(value_of(facts, "chunk_special_tokens").as_string() == "chunks");
  facts.on_gpu = true;
  CHECK(value_of(facts, "max_seq_length").as_int() == 512);
  facts.max_length = 256;
  CHECK(value_of(facts, "max_seq_length").as_int() == 256);

  facts.plain_lines = false;  // rows of a table
  CHECK(value_of(facts, "line_by_line").as_bool());
  CHECK(value_of(facts, "max_seq_length").as_int() == 24);
  CHECK(value_of(facts, "chunk_special_tokens").is_null());
  facts.lengths.assign(100, 300);  // too long for the model
  CHECK_FALSE(value_of(facts, "line_by_line").as_bool());
  facts.has_pairs = true;  // cannot be joined
  CHECK(value_of(facts, "line_by_line").as_bool());
  CHECK(value_of(facts, "max_seq_length").as_int() == 256);

  StartingFacts lines = bert_on_cpu();
  lines.lengths.assign(100, 60);  // lines that are texts
  CHECK(value_of(lines, "line_by_line").as_bool());
  CHECK_THROWS_AS(starting_choices(StartingFacts{}), Error);
}

TEST_CASE("starting_config: 4 bits where memory asks for them, or the folder has them") {
  StartingFacts facts = bert_on_cpu();
  CHECK(value_of(facts, "bits").as_int() == 16);
  facts.memory_bytes = 2 * kGiB;
  CHECK(value_of(facts, "bits").as_int() == 4);
  facts.memory_bytes = 100 * kGiB;
  facts.stored_quantization = "nf4";
  CHECK(value_of(facts, "bits").as_int() == 4);
}

TEST_CASE("starting_config: updates of 32 sequences, neither few nor endless") {
  StartingFacts facts = bert_on_cpu();
  for (const bool on_gpu : {false, true}) {
    facts.on_gpu = on_gpu;
    CHECK(value_of(facts, "per_device_train_batch_size").as_int() *
              value_of(facts, "gradient_accumulation_steps").as_int() ==
          kStartingBatch);
  }
  facts.n_rows = 40;
  facts.n_tokens = 800;
  CHECK(value_of(facts, "num_train_epochs").as_double() == 20.0);
  CHECK(value_of(facts, "eval_steps").as_int() == 2);
  facts.plain_lines = false;
  facts.n_rows = 32 * 1000;
  facts.n_tokens = 32 * 20'000;
  CHECK(value_of(facts, "num_train_epochs").as_double() == 3.0);
  CHECK(value_of(facts, "eval_steps").as_int() == 200);
  CHECK(value_of(facts, "lora_r").as_int() == 8);
  facts.n_rows = 32 * 10'000;
  facts.n_tokens = facts.n_rows * 200;
  CHECK(value_of(facts, "num_train_epochs").as_double() == 1.0);
  CHECK(value_of(facts, "lora_r").as_int() == 32);
  facts.all_rows = false;
  CHECK(value_of(facts, "num_train_epochs").is_null());
  CHECK(value_of(facts, "max_steps").as_int() == 20'000);
}

TEST_CASE("starting_config: every choice is a setting with a value it takes, once") {
  for (int bits = 0; bits < 256; ++bits) {
    StartingFacts facts = bert_on_cpu();
    facts.plain_lines = bits & 1;
    facts.on_gpu = bits & 2;
    facts.own_validation = bits & 4;
    facts.all_rows = bits & 8;
    facts.has_pairs = bits & 16;
    facts.has_ids = bits & 32;
    if (bits & 64) facts.lengths = {1};
    if (bits & 128) facts.n_rows = facts.n_tokens = 1;
    const RunConfig config = config_of(facts);
    CHECK(config.max_seq_length >= 1);
    CHECK(config.save_steps == config.eval_steps);
    CHECK(config.logging_steps >= 1);
    std::vector<std::string> keys;
    for (const Choice& choice : starting_choices(facts)) keys.push_back(choice.key);
    std::sort(keys.begin(), keys.end());
    CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
  }
}

TEST_CASE("starting_config: round numbers") {
  for (const auto& [n, round] : {std::pair{1, 1}, {4, 2}, {9, 5}, {10, 10}, {49, 20}, {999, 500}}) {
    CHECK(round_number(n) == round);
  }
}
