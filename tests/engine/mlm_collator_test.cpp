// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/mlm_collator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tests/support/op_context.h"
#include "tests/support/token_data.h"

namespace qe {

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

}  // namespace qe
