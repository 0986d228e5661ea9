// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// From rows to samples: tokenize_rows, token_dataset.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/train/tokenize_rows.h"
#include "tests/support/op_context.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/token_data.h"

namespace qe {
namespace {

Record text_row(const std::string& text, int64_t line = 1) { return {.text = text, .line = line}; }

TokenDataset tokenize(const std::vector<Record>& rows, const TokenizeOptions& options,
                      int threads = 2, TokenizedRows* counts = nullptr) {
  ThreadPool pool(threads);
  std::vector<TokenShard> shards;
  const RowSource source = [&](const RowTake& take) {
    for (Record row : rows) {
      if (!take(std::move(row), "rows.txt")) return;
    }
  };
  const TokenizedRows found =
      tokenize_rows(source, "rows.txt", tokenizer_of_tiny(), 8192, options, pool,
                    [&](const TokenShardBuilder& shard) { shards.push_back(shard.shard()); });
  TokenDataset dataset(std::move(shards));
  CHECK(found.n_samples == dataset.size());
  CHECK(found.n_tokens == dataset.n_tokens());
  if (counts != nullptr) *counts = found;
  return dataset;
}

}  // namespace

TEST_CASE("token_dataset: line by line drops blank rows and truncates") {
  const TokenDataset dataset = tokenize(
      {text_row("the king of france"), text_row(" \t"), text_row("one two three four five six")},
      {.max_length = 6, .line_by_line = true});
  REQUIRE(dataset.size() == 2);
  CHECK(dataset.ids(0).size() == 6);
  CHECK(dataset.ids(1).size() == 6);
  CHECK(dataset.flags(1)[0] == kSpecialToken);
  CHECK(dataset.flags(1)[5] == kSpecialToken);
  CHECK((dataset.flags(1)[1] & kSpecialToken) == 0);
  CHECK(dataset.max_length() == 6);
}

TEST_CASE("token_dataset: a second text follows the first, with its own type") {
  const auto pair_row = [](const std::string& text, const std::string& pair, int64_t line) {
    return Record{.text = text, .pair = pair, .line = line};
  };
  const std::vector<Record> rows = {text_row("the king"), pair_row("the king", "of france", 2),
                                    pair_row(" ", "", 3), pair_row("", "of", 4),
                                    pair_row("one two three four five six", "of france", 5)};
  const TokenDataset dataset = tokenize(rows, {.max_length = 8, .line_by_line = true});
  REQUIRE(dataset.size() == 4);
  const Tokenizer tokenizer = tokenizer_of_tiny();
  const auto ids_of = [&](const std::vector<std::string>& tokens) {
    std::vector<int32_t> ids;
    for (const std::string& token : tokens) ids.push_back(*tokenizer.token_id(token));
    return ids;
  };
  const auto list = [](auto span) { return std::vector<int32_t>(span.begin(), span.end()); };
  CHECK(list(dataset.ids(1)) == ids_of({"[CLS]", "the", "king", "[SEP]", "of", "france", "[SEP]"}));
  CHECK(list(dataset.type_ids(0)) == std::vector<int32_t>{0, 0, 0, 0});
  CHECK(list(dataset.type_ids(1)) == std::vector<int32_t>{0, 0, 0, 0, 1, 1, 1});
  CHECK(list(dataset.flags(1)) == std::vector<int32_t>{1, 0, 0, 1, 0, 0, 1});
  CHECK(list(dataset.ids(2)) == ids_of({"[CLS]", "[SEP]", "of", "[SEP]"}));
  CHECK(list(dataset.ids(3)) ==
        ids_of({"[CLS]", "one", "two", "three", "[SEP]", "of", "france", "[SEP]"}));
  CHECK(error_of([&] {
          tokenize(rows, {.max_length = 8});
        }).starts_with("rows.txt:2: a row with a second text is a sequence of its own"));
}

TEST_CASE("token_dataset: joined rows are cut per 1000 rows, remainders dropped, on any threads") {
  std::vector<Record> rows;
  for (int i = 0; i < 1500; ++i) rows.push_back(text_row("the king", i + 1));  // 4 ids each
  const TokenDataset dataset = tokenize(rows, {.max_length = 7});
  CHECK(dataset.size() == 4000 / 7 + 2000 / 7);
  CHECK(dataset.ids(0)[0] == 2);
  CHECK(dataset.ids(0)[4] == 2);  // the second row's [CLS]
  CHECK(dataset.flags(0)[3] == kSpecialToken);
  CHECK(dataset.hash() == tokenize(rows, {.max_length = 7}, 1).hash());
  CHECK(dataset.hash() != tokenize(rows, {.max_length = 8}).hash());
  const TokenDataset few = tokenize(rows, {.max_length = 7, .max_samples = 3});
  CHECK(few.size() == 3);
  CHECK(few.n_tokens() == 21);
}

TEST_CASE("token_dataset: pieces of joined rows with their own special tokens, none dropped") {
  std::vector<Record> rows;
  for (int i = 0; i < 1500; ++i) rows.push_back(text_row("the king", i + 1));  // 2 ids each
  const TokenDataset dataset = tokenize(rows, {.max_length = 9, .wrap_pieces = true});
  REQUIRE(dataset.size() == 3000 / 7 + 1);
  for (int64_t s = 0; s < dataset.size(); ++s) {
    const auto ids = dataset.ids(s);
    REQUIRE(static_cast<int64_t>(ids.size()) == (s < 3000 / 7 ? 9 : 3000 % 7 + 2));
    REQUIRE(ids.front() == 2);
    REQUIRE(ids.back() == 3);
    REQUIRE(std::count(ids.begin(), ids.end(), 2) == 1);
    REQUIRE(dataset.flags(s).front() == kSpecialToken);
    REQUIRE(dataset.flags(s).back() == kSpecialToken);
    REQUIRE((dataset.flags(s)[1] & kSpecialToken) == 0);
  }
  CHECK(error_of([&] {
          tokenize(rows, {.max_length = 2, .wrap_pieces = true});
        }).find("leaves no room") != std::string::npos);
}

TEST_CASE("token_dataset: given ids, labels and types are taken as they are") {
  std::vector<Record> rows{{.input_ids = {2, 10, 11, 3}, .labels = {-100, 12, -100, -100}},
                           {.input_ids = {2, 10, 3}, .token_type_ids = {0, 1, 1}}};
  const TokenDataset dataset = tokenize(rows, {.max_length = 8});
  REQUIRE(dataset.size() == 2);
  CHECK(dataset.labels(0)[1] == 12);
  CHECK(dataset.labels(1).empty());
  CHECK(dataset.type_ids(0)[3] == 0);
  CHECK(dataset.type_ids(1)[2] == 1);
  CHECK(dataset.flags(1)[0] == kSpecialToken);
  CHECK((dataset.flags(1)[1] & kSpecialToken) == 0);

  PackedBatch batch;
  MlmCollator c = collator(kMask);
  c.append(dataset, 0, 0, batch);
  CHECK(batch.labels == std::vector<int32_t>{12});
  CHECK(batch.label_rows == std::vector<int32_t>{1});
  CHECK(batch.token_ids == std::vector<int32_t>{2, 10, 11, 3});
}

TEST_CASE("token_dataset: invalid UTF-8 is replaced and counted") {
  TokenizedRows counts;
  tokenize({text_row("king \xff of \xc3"), text_row("fine")}, {.line_by_line = true}, 2, &counts);
  CHECK(counts.n_replaced_bytes == 2);
}

TEST_CASE("token_dataset: shards change nothing but where samples lie") {
  std::vector<Record> rows;
  for (int i = 0; i < 2500; ++i)
    rows.push_back(text_row("the king of france " + std::to_string(i)));
  rows[7].pair = "a second text";
  const auto same = [](const TokenDataset& a, const TokenDataset& b) {
    const auto list = [](auto span) { return std::vector<int32_t>(span.begin(), span.end()); };
    REQUIRE(a.size() == b.size());
    for (int64_t s = 0; s < a.size(); ++s) {
      REQUIRE(list(a.ids(s)) == list(b.ids(s)));
      REQUIRE(list(a.flags(s)) == list(b.flags(s)));
      // Zeros need no column.
      std::vector<int32_t> types = list(a.type_ids(s)), others = list(b.type_ids(s));
      types.resize(a.ids(s).size(), 0);
      others.resize(a.ids(s).size(), 0);
      REQUIRE(types == others);
    }
    CHECK(a.n_tokens() == b.n_tokens());
    CHECK(a.max_length() == b.max_length());
  };
  const TokenizeOptions lines{.max_length = 12, .line_by_line = true};
  TokenizeOptions small = lines;
  small.tokens_per_shard = 1000;
  same(tokenize(rows, lines), tokenize(rows, small, 1));
  rows[7].pair.reset();
  for (const bool wrap : {false, true}) {
    const TokenizeOptions joined{.max_length = 13, .wrap_pieces = wrap};
    small = joined;
    small.tokens_per_shard = 100;
    same(tokenize(rows, joined), tokenize(rows, small));
  }
}

TEST_CASE("token_dataset: no more rows are read than max_samples need") {
  ThreadPool pool(2);
  int64_t n_given = 0;
  bool stopped = false;
  const RowSource endless = [&](const RowTake& take) {
    while (!stopped) {
      stopped = !take(text_row(std::string(1000, 'x')), "endless.txt");
      ++n_given;
    }
  };
  std::vector<TokenShard> shards;
  const TokenizedRows counts =
      tokenize_rows(endless, "endless.txt", tokenizer_of_tiny(), 8192,
                    {.max_length = 8, .line_by_line = true, .max_samples = 5}, pool,
                    [&](const TokenShardBuilder& shard) { shards.push_back(shard.shard()); });
  CHECK(stopped);
  CHECK(counts.n_samples == 5);
  CHECK(n_given < 100000);
}

TEST_CASE("token_dataset: an error while reading comes through, after the rows before it") {
  const Record row = text_row("the king");
  ThreadPool pool(2);
  const RowSource broken = [&](const RowTake& take) {
    for (int i = 0; i < 10; ++i) take(Record(row), "broken.txt");
    fail("broken.txt:11: broken");
  };
  CHECK(error_of([&] {
          tokenize_rows(broken, "broken.txt", tokenizer_of_tiny(), 8192, {.line_by_line = true},
                        pool, [](const TokenShardBuilder&) {});
        }) == "broken.txt:11: broken");
}

TEST_CASE("token_dataset: words as the tokenizer and as transformers count them") {
  const Json golden = Json::parse_file(test::golden_path("settings/data.json"));
  const Tokenizer tokenizer = Tokenizer::load(test::golden_path("bert/model"));
  // Number of the word of each token, -1 for special ones, as the two lists of the golden have it.
  const auto words_of = [](const std::vector<uint8_t>& flags, uint8_t flag) {
    std::vector<int64_t> words;
    int64_t n = 0;
    for (const uint8_t f : flags) {
      const bool special = f & kSpecialToken;
      if (!special && !(f & flag)) ++n;
      words.push_back(special ? -1 : n);
    }
    return words;
  };
  const auto dense = [](const Json& list) {  // numbered from 1 without gaps
    std::vector<int64_t> words;
    int64_t n = 0;
    int64_t last = -1;
    for (const Json& item : list.items()) {
      const int64_t word = item.as_int();
      if (word >= 0 && word != last) ++n;
      last = word;
      words.push_back(word < 0 ? -1 : n);
    }
    return words;
  };
  int n_different = 0;
  for (const Json& row : golden.at("whole_words").items()) {
    CAPTURE(row.at("text").as_string());
    const Encoding encoding = tokenizer.encode(row.at("text").as_string());
    std::vector<uint8_t> flags;
    append_token_flags(encoding, flags);
    REQUIRE(flags.size() == row.at("ids").items().size());
    CHECK(words_of(flags, kInsideWord) == dense(row.at("words")));
    CHECK(words_of(flags, kTouchesPrevious) == dense(row.at("words_hf")));
    n_different += dense(row.at("words")) != dense(row.at("words_hf"));
  }
  CHECK(n_different > 2);  // "king's house," is three words and four for one, two for the other
}

TEST_CASE("token_dataset: whole words need texts") {
  std::vector<Record> rows{{.input_ids = {2, 10, 3}, .line = 7}};
  CHECK(error_of([&] {
          tokenize(rows, {.max_length = 8, .needs_words = true});
        }).find("rows.txt:7: whole_word_mask needs the words of the text") == 0);
  rows[0].labels = {-100, 5, -100};
  CHECK(tokenize(rows, {.max_length = 8, .needs_words = true}).size() == 1);
}

}  // namespace qe
