// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// From rows to masked, packed batches: tokenize_rows, token_dataset, mlm_collator, data_loader,
// packed_batch.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "engine/train/data_loader.h"
#include "engine/train/tokenize_rows.h"
#include "tests/support/golden.h"
#include "tests/support/op_context.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

Record text_row(const std::string& text, int64_t line = 1) { return {.text = text, .line = line}; }

EncoderConfig config_of_tiny() { return read_encoder_config(test::example_path("tiny-mlm")); }
Tokenizer tokenizer_of_tiny() { return Tokenizer::load(test::example_path("tiny-mlm")); }

TokenDataset dataset_of(const TokenShardBuilder& samples) {
  return TokenDataset({samples.shard()});
}

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

TokenDataset numbered(int64_t n_samples, int64_t length) {
  TokenShardBuilder dataset;
  for (int64_t s = 0; s < n_samples; ++s) {
    std::vector<int32_t> ids(length, static_cast<int32_t>(100 + s));
    std::vector<uint8_t> special(length, 0);
    special.front() = special.back() = 1;
    dataset.add(ids, {}, special, {});
  }
  return dataset_of(dataset);
}

MlmCollator collator(const MaskOptions& options, uint64_t seed = 1) {
  return MlmCollator(config_of_tiny(), options, philox_key(seed, RandomPurpose::kMask));
}

const MaskOptions kMask{.mask_id = 4, .n_random_ids = 8192};

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

TEST_CASE("collator: 80/10/10 over 15 % of the tokens, special tokens left alone") {
  const int64_t n_samples = 400;
  const int64_t length = 258;
  const TokenDataset dataset = numbered(n_samples, length);
  MlmCollator c = collator(kMask);
  int64_t n_masked = 0, n_random = 0, n_same = 0;
  for (int64_t s = 0; s < n_samples; ++s) {
    PackedBatch batch;
    c.append(dataset, s, 0, batch);
    for (int64_t m = 0; m < batch.n_labels(); ++m) {
      const int32_t row = batch.label_rows[m];
      REQUIRE(row > 0);
      REQUIRE(row < length - 1);
      REQUIRE(batch.labels[m] == 100 + s);
      const int32_t seen = batch.token_ids[row];
      ++(seen == 4 ? n_masked : seen == 100 + s ? n_same : n_random);
    }
  }
  const double n_tokens = static_cast<double>(n_samples * (length - 2));
  const double n_labels = static_cast<double>(n_masked + n_random + n_same);
  // Five standard deviations of a binomial.
  CHECK(std::abs(n_labels / n_tokens - 0.15) < 5 * std::sqrt(0.15 * 0.85 / n_tokens));
  CHECK(std::abs(n_masked / n_labels - 0.8) < 5 * std::sqrt(0.8 * 0.2 / n_labels));
  CHECK(std::abs(n_random / n_labels - 0.1) < 5 * std::sqrt(0.1 * 0.9 / n_labels));
}

TEST_CASE("collator: masks are a pure function of seed, epoch and sample") {
  const TokenDataset dataset = numbered(3, 200);
  const auto ids_of = [&](MlmCollator c, int64_t sample, uint32_t epoch, bool after_others) {
    PackedBatch batch;
    if (after_others) c.append(dataset, 0, epoch, batch);
    const int64_t begin = batch.n_tokens();
    c.append(dataset, sample, epoch, batch);
    return std::vector<int32_t>(batch.token_ids.begin() + begin, batch.token_ids.end());
  };
  const auto reference = ids_of(collator(kMask), 2, 5, false);
  CHECK(ids_of(collator(kMask), 2, 5, true) == reference);
  CHECK(ids_of(collator(kMask), 2, 6, false) != reference);
  CHECK(ids_of(collator(kMask, 2), 2, 5, false) != reference);
  MaskOptions all = kMask;
  all.mlm_probability = 1.0;
  all.mask_replace_prob = 1.0;
  all.random_replace_prob = 0.0;
  PackedBatch batch;
  collator(all).append(dataset, 0, 0, batch);
  CHECK(batch.n_labels() == 198);
  CHECK(std::count(batch.token_ids.begin(), batch.token_ids.end(), 4) == 198);
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

TEST_CASE("collator: whole words are masked together, each drawn once") {
  for (const uint8_t flag : {kInsideWord, kTouchesPrevious}) {
    // Words of 1, 2 and 3 tokens; a flag on the first token of a sample means nothing.
    std::vector<uint8_t> flags{kSpecialToken};
    for (int i = 0; i < 40; ++i) {
      for (int j = 0; j <= i % 3; ++j) flags.push_back(j == 0 ? 0 : flag);
    }
    flags.push_back(kSpecialToken);
    TokenShardBuilder samples;
    const std::vector<int32_t> ids(flags.size(), 100);
    for (int s = 0; s < 400; ++s) samples.add(ids, {}, flags, {});
    const std::vector<uint8_t> inside(3, flag);
    samples.add(std::vector<int32_t>(3, 100), {}, inside, {});
    const TokenDataset dataset = dataset_of(samples);
    MaskOptions options = kMask;
    options.unit = MaskUnit::kWord;
    options.word_flag = flag;
    options.mask_replace_prob = 1.0;
    options.random_replace_prob = 0.0;
    MlmCollator c = collator(options);
    double n_labels = 0;
    double n_words = 0;
    for (int64_t s = 0; s < 400; ++s) {
      PackedBatch batch;
      c.append(dataset, s, 0, batch);
      std::vector<bool> masked(flags.size(), false);
      for (const int32_t row : batch.label_rows) {
        masked[row] = true;
        CHECK(batch.token_ids[row] == 4);
      }
      CHECK_FALSE(masked.front());
      CHECK_FALSE(masked.back());
      for (size_t i = 1; i < flags.size(); ++i) {
        if (flags[i] & flag) CHECK(masked[i] == masked[i - 1]);
        n_words += flags[i] == 0 && masked[i];
      }
      n_labels += static_cast<double>(batch.n_labels());
    }
    const double words = 400 * 40;
    CHECK(std::abs(n_words / words - 0.15) < 5 * std::sqrt(0.15 * 0.85 / words));
    CHECK(n_labels / n_words > 1.8);
    PackedBatch batch;
    options.mlm_probability = 1.0;
    collator(options).append(dataset, 400, 0, batch);
    CHECK(batch.n_labels() == 3);
  }
}

namespace {

// The reference's process (facebookresearch/SpanBERT, PairWithSpanMaskingScheme), with its own
// random numbers: how many tokens of words of the given lengths it masks, and how the masked runs
// of neighbours are distributed.
struct SpanCounts {
  std::map<int64_t, double> runs;  // tokens of a run -> how many
  double n_masked = 0, n_runs = 0;
  void add(const std::vector<bool>& masked) {
    int64_t length = 0;
    for (size_t i = 0; i <= masked.size(); ++i) {
      if (i < masked.size() && masked[i]) {
        ++length;
        ++n_masked;
      } else if (length > 0) {
        ++runs[length];
        ++n_runs;
        length = 0;
      }
    }
  }
};

std::vector<bool> reference_spans(const std::vector<size_t>& word_begins, size_t n, double share,
                                  test::Random& random) {
  std::vector<double> weights;
  for (int k = 0; k < 10; ++k) weights.push_back(0.2 * std::pow(0.8, k));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<bool> masked(n, false);
  size_t n_left = static_cast<size_t>(std::ceil(static_cast<double>(n) * share));
  while (n_left > 0) {
    double draw = static_cast<double>(random.next() >> 11) * 0x1p-53 * total;
    size_t n_words = 1;
    while (n_words < 10 && draw >= weights[n_words - 1]) draw -= weights[n_words++ - 1];
    const size_t anchor = random.next() % n;
    if (masked[anchor]) continue;
    size_t word = 0;
    while (word + 1 < word_begins.size() && word_begins[word + 1] <= anchor) ++word;
    const size_t last = std::min(word + n_words, word_begins.size());
    const size_t end = last < word_begins.size() ? word_begins[last] : n;
    for (size_t i = word_begins[word]; i < end && n_left > 0; ++i) {
      n_left -= !masked[i];
      masked[i] = true;
    }
  }
  return masked;
}

}  // namespace

TEST_CASE("collator: spans are distributed as SpanBERT's own") {
  // Words of 1, 2 and 3 tokens, 180 tokens in all.
  std::vector<uint8_t> flags;
  std::vector<size_t> word_begins;
  for (int word = 0; word < 90; ++word) {
    word_begins.push_back(flags.size());
    for (int j = 0; j <= word % 3; ++j) flags.push_back(j == 0 ? 0 : kInsideWord);
  }
  const size_t n = flags.size();
  constexpr int kSamples = 4000;
  TokenShardBuilder samples;
  for (int s = 0; s < kSamples; ++s) samples.add(std::vector<int32_t>(n, 100), {}, flags, {});
  const TokenDataset dataset = dataset_of(samples);
  MaskOptions options = kMask;
  options.unit = MaskUnit::kSpan;
  MlmCollator c = collator(options);
  test::Random random(11);
  SpanCounts found, expected;
  int64_t n_inside = 0;  // runs that end inside a word, in samples
  for (int64_t s = 0; s < kSamples; ++s) {
    PackedBatch batch;
    c.append(dataset, s, 0, batch);
    REQUIRE(batch.n_labels() == 27);  // 15 % of 180
    std::vector<bool> masked(n, false);
    for (const int32_t row : batch.label_rows) masked[static_cast<size_t>(row)] = true;
    int64_t n_cut = 0;
    for (size_t i = 0; i < n; ++i) {
      if ((flags[i] & kInsideWord) == 0) continue;
      REQUIRE(masked[i - 1] >= masked[i]);  // no span begins inside a word
      n_cut += masked[i - 1] && !masked[i];
    }
    REQUIRE(n_cut <= 1);  // only the last one ends there
    n_inside += n_cut;
    found.add(masked);
    expected.add(reference_spans(word_begins, n, 0.15, random));
  }
  CHECK(n_inside > 0);
  CHECK(found.n_masked == expected.n_masked);
  // Five standard deviations of a difference of counts, taken as Poisson's.
  const auto close = [](double a, double b) { return std::abs(a - b) < 5 * std::sqrt(a + b + 1); };
  CHECK(close(found.n_runs, expected.n_runs));
  for (int64_t length = 1; length <= 27; ++length) {
    CAPTURE(length);
    CHECK(close(found.runs[length], expected.runs[length]));
  }
}

TEST_CASE("collator: a span is replaced as a whole, 80/10/10 of them") {
  // Words of ten tokens, one of which is a span and all that may be predicted.
  std::vector<uint8_t> flags;
  for (int i = 0; i < 200; ++i) flags.push_back(i % 10 == 0 ? 0 : kInsideWord);
  constexpr int kSamples = 4000;
  TokenShardBuilder samples;
  const std::vector<int32_t> ids(flags.size(), 100);
  for (int s = 0; s < kSamples; ++s) samples.add(ids, {}, flags, {});
  const TokenDataset dataset = dataset_of(samples);
  MaskOptions options = kMask;
  options.unit = MaskUnit::kSpan;
  options.mlm_probability = 0.05;
  options.span_max_words = 1;
  MlmCollator c = collator(options);
  double n_masked = 0, n_random = 0, n_same = 0;
  std::set<int32_t> random_ids;
  for (int64_t s = 0; s < kSamples; ++s) {
    PackedBatch batch;
    c.append(dataset, s, 0, batch);
    REQUIRE(batch.n_labels() == 10);
    REQUIRE(batch.label_rows.front() % 10 == 0);
    REQUIRE(batch.label_rows.back() == batch.label_rows.front() + 9);
    const auto first = batch.token_ids.begin() + batch.label_rows.front();
    const auto masks = std::count(first, first + 10, 4), same = std::count(first, first + 10, 100);
    n_masked += masks == 10;
    n_same += same == 10;
    if (masks == 10 || same == 10) continue;
    REQUIRE(masks + same <= 1);  // of 8192 random ids two
    ++n_random;
    random_ids.insert(first, first + 10);
  }
  CHECK(std::abs(n_masked / kSamples - 0.8) < 5 * std::sqrt(0.8 * 0.2 / kSamples));
  CHECK(std::abs(n_random / kSamples - 0.1) < 5 * std::sqrt(0.1 * 0.9 / kSamples));
  CHECK(std::abs(n_same / kSamples - 0.1) < 5 * std::sqrt(0.1 * 0.9 / kSamples));
  CHECK(static_cast<double>(random_ids.size()) > 0.7 * 10 * n_random);  // each token has its own
}

TEST_CASE("collator: special tokens are left alone and end a span") {
  std::vector<uint8_t> flags;
  for (int i = 0; i < 400; ++i) flags.push_back(i % 5 == 0 ? kSpecialToken : 0);
  TokenShardBuilder samples;
  for (int s = 0; s < 1000; ++s) samples.add(std::vector<int32_t>(400, 100), {}, flags, {});
  const TokenDataset dataset = dataset_of(samples);
  MaskOptions options = kMask;
  options.unit = MaskUnit::kSpan;
  options.mlm_probability = 0.05;
  options.span_geometric_p = 0.001;
  options.span_max_words = 1000;
  MlmCollator c = collator(options);
  int n_in_one_place = 0;
  for (int64_t s = 0; s < 1000; ++s) {
    PackedBatch batch;
    c.append(dataset, s, 0, batch);
    REQUIRE(batch.n_labels() == 16);
    for (const int32_t row : batch.label_rows) REQUIRE(row % 5 != 0);
    n_in_one_place += batch.label_rows.back() - batch.label_rows.front() < 20;
  }
  CHECK(n_in_one_place < 5);  // all of them, if spans went on
}

TEST_CASE("collator: spans are a pure function of seed, epoch and sample, for any text") {
  // Words, one long text without any, special tokens only, a rate of 1.
  std::vector<uint8_t> words, none(200, kInsideWord), specials(200, kSpecialToken);
  for (int i = 0; i < 200; ++i) words.push_back(i % 5 == 0 ? 0 : kInsideWord);
  TokenShardBuilder samples;
  for (const auto& flags : {words, none, specials}) {
    samples.add(std::vector<int32_t>(200, 100), {}, flags, {});
  }
  const TokenDataset dataset = dataset_of(samples);
  MaskOptions options = kMask;
  options.unit = MaskUnit::kSpan;
  const auto batch_of = [&](MlmCollator c, int64_t sample, uint32_t epoch) {
    PackedBatch batch;
    c.append(dataset, sample, epoch, batch);
    return batch;
  };
  const auto masked = [&](uint64_t seed, int64_t sample, uint32_t epoch) {
    return batch_of(collator(options, seed), sample, epoch).label_rows;
  };
  const std::vector<int32_t> rows = masked(1, 0, 5);
  MlmCollator used = collator(options);
  PackedBatch others;
  used.append(dataset, 1, 4, others);
  CHECK(batch_of(used, 0, 5).label_rows == rows);
  CHECK(masked(1, 0, 6) != rows);
  CHECK(masked(2, 0, 5) != rows);
  // Where there are no words, tokens are, and every place may begin a span.
  std::set<int32_t> firsts;
  for (uint32_t epoch = 0; epoch < 400; ++epoch) {
    const PackedBatch batch = batch_of(collator(options), 1, epoch);
    REQUIRE(batch.n_labels() == 30);
    firsts.insert(batch.label_rows.front());
  }
  CHECK(firsts.size() > 30);
  CHECK(batch_of(collator(options), 2, 0).n_labels() == 0);
  MlmCollator all = collator(options);
  all.set_mlm_probability(1.0);
  CHECK(batch_of(all, 0, 0).n_labels() == 200);
  // A lower rate masks less of the same.
  for (const MaskUnit unit : {MaskUnit::kToken, MaskUnit::kWord, MaskUnit::kSpan}) {
    options.unit = unit;
    MlmCollator more = collator(options), less = collator(options);
    more.set_mlm_probability(0.4);
    less.set_mlm_probability(0.15);
    const PackedBatch many = batch_of(more, 0, 3), few = batch_of(less, 0, 3);
    CHECK(many.n_labels() > few.n_labels());
    CHECK(std::includes(many.label_rows.begin(), many.label_rows.end(), few.label_rows.begin(),
                        few.label_rows.end()));
    for (const int32_t row : few.label_rows) {
      CHECK(many.token_ids[static_cast<size_t>(row)] == few.token_ids[static_cast<size_t>(row)]);
    }
  }
}

TEST_CASE("token_dataset: whole words need texts") {
  std::vector<Record> rows{{.input_ids = {2, 10, 3}, .line = 7}};
  CHECK(error_of([&] {
          tokenize(rows, {.max_length = 8, .needs_words = true});
        }).find("rows.txt:7: whole_word_mask needs the words of the text") == 0);
  rows[0].labels = {-100, 5, -100};
  CHECK(tokenize(rows, {.max_length = 8, .needs_words = true}).size() == 1);
}

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
