// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Scores, embeddings, masks filled jointly and words of several tokens, against transformers over
// the models of every family (tests/golden/inference.json, by scripts/make_inference_goldens.py).
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/infer/embed.h"
#include "engine/infer/joint_fill.h"
#include "engine/infer/scoring.h"
#include "tests/support/device.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const std::string kTiny = test::example_path("tiny-mlm");

struct GoldenKind {
  std::string name;  // of the model
  std::string folder;
  std::string texts;  // which of the golden's
};

std::vector<GoldenKind> golden_models(const Json& golden) {
  std::vector<GoldenKind> models;
  for (const auto& [name, values] : golden.at("models").members()) {
    const bool bert = name == "bert";
    // Sessions on a GPU begin with a CUDA context of their own: a few stand for all there.
    if (test::on_gpu() && !bert && name != "modernbert" && name != "deberta-v2") continue;
    models.push_back({name, test::golden_path(bert ? name : "families/" + name), bert ? name : ""});
  }
  return models;
}

InferOptions options_of(const std::string& folder, bool with_adapter, int64_t batch_tokens = 64) {
  return {.model = folder + "/model",
          .adapter = with_adapter ? folder + "/adapter" : "",
          .base = {.bits = 32},
          .device = test::device_setting(),
          .compute_dtype = test::compute_setting(),
          .threads = 2,
          .batch_tokens = batch_tokens};
}

InferOptions tiny(int64_t batch_tokens = 64, int threads = 2) {
  return {.model = kTiny,
          .base = {.bits = 4},
          .device = "cpu",
          .threads = threads,
          .batch_tokens = batch_tokens};
}

std::vector<double> doubles(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list.items()) values.push_back(value.as_double());
  return values;
}

// ||found - expected|| / ||expected||
double relative_distance(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double difference = 0.0, size = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    difference += (found[i] - expected[i]) * (found[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

double allowed() { return test::tolerance(test::Result::kModel, 2e-5); }

std::vector<TextScore> scores_of(Scorer& scorer, const Json& texts) {
  std::vector<EncodedText> encoded;
  for (const Json& text : texts.items()) encoded.push_back(scorer.prepare(text.as_string(), false));
  return scorer.score(encoded);
}

void check_scores(const std::vector<TextScore>& found, const Json& expected) {
  REQUIRE(found.size() == expected.items().size());
  for (size_t i = 0; i < found.size(); ++i) {
    const std::vector<double> values = doubles(expected.items()[i]);
    CHECK(relative_distance(found[i].log_probabilities, values) < allowed());
    double sum = 0.0;
    for (const double value : values) sum += value;
    CHECK(found[i].sum() == doctest::Approx(sum).epsilon(allowed()));
    CHECK(found[i].perplexity() ==
          doctest::Approx(std::exp(-sum / static_cast<double>(values.size())))
              .epsilon(20 * allowed()));
  }
}

std::vector<float> embed(Embedder& embedder, const std::vector<std::string>& texts) {
  std::vector<EncodedText> encoded;
  for (const std::string& text : texts) encoded.push_back(embedder.prepare(text, false));
  std::vector<float> rows(texts.size() * static_cast<size_t>(embedder.size()));
  embedder.embed(encoded, rows);
  return rows;
}

void check_embedding(const GoldenKind& model, bool with_adapter, const std::string& text,
                     const std::string& name, const Json& expected) {
  CAPTURE(name);
  const std::string layer = name.substr(0, name.find('.'));
  const EmbedOptions options{.pooling = name.ends_with("cls") ? Pooling::kCls : Pooling::kMean,
                             .layer = layer == "last" ? kAfterAllLayers : std::stoll(layer)};
  Embedder embedder(options_of(model.folder, with_adapter), options, Log());
  // In the middle of others.
  const std::vector<float> rows = embed(embedder, {"the", text, "a sea"});
  const auto n = static_cast<size_t>(embedder.size());
  CHECK(relative_distance({rows.begin() + n, rows.begin() + 2 * n}, doubles(expected)) < allowed());
}

std::vector<int32_t> ids_of(const Json& list) {
  std::vector<int32_t> ids;
  for (const Json& id : list.items()) ids.push_back(static_cast<int32_t>(id.as_int()));
  return ids;
}

std::string repeated(const std::string& word, int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += word;
  return text;
}

}  // namespace

DEVICE_TEST_CASE("score: every family's pseudo-log-likelihoods, of the base and with an adapter") {
  const Json golden = Json::parse_file(test::golden_path("inference.json"));
  REQUIRE(golden.at("models").members().size() >= 17);
  for (const GoldenKind& model : golden_models(golden)) {
    for (const bool adapter : {false, true}) {
      CAPTURE(model.name);
      CAPTURE(adapter);
      const Json& expected = golden.at("models").at(model.name).at(adapter ? "adapter" : "base");
      const Json& texts = golden.at("texts").at(model.texts);
      Scorer scorer(options_of(model.folder, adapter), ScoreMasking::kToken, Log());
      check_scores(scores_of(scorer, texts), expected.at("scores"));
      const Json* within_word = expected.find("within_word");
      if (!within_word) continue;
      Scorer by_word(options_of(model.folder, adapter), ScoreMasking::kWithinWordL2r, Log());
      check_scores(scores_of(by_word, texts), *within_word);
    }
  }
}

DEVICE_TEST_CASE("embed: every family's hidden states, pooled") {
  const Json golden = Json::parse_file(test::golden_path("inference.json"));
  for (const GoldenKind& model : golden_models(golden)) {
    CAPTURE(model.name);
    const std::string text = golden.at("texts").at(model.texts).items()[0].as_string();
    for (const bool adapter : {false, true}) {
      const Json& expected = golden.at("models").at(model.name).at(adapter ? "adapter" : "base");
      for (const auto& [name, values] : expected.at("embeddings").members()) {
        check_embedding(model, adapter, text, name, values);
      }
    }
  }
}

TEST_CASE("fill-mask, jointly and with words of several tokens: every family") {
  const Json golden = Json::parse_file(test::golden_path("inference.json"));
  const std::pair<const char*, FillOrder> orders[] = {{"left-to-right", FillOrder::kLeftToRight},
                                                      {"confidence", FillOrder::kConfidence},
                                                      {"beam", FillOrder::kBeam}};
  for (const GoldenKind& model : golden_models(golden)) {
    CAPTURE(model.name);
    const Json& expected = golden.at("models").at(model.name).at("base");
    InferOptions options = options_of(model.folder, false);
    options.device = "cpu";
    options.compute_dtype = "auto";
    FillMask fill(options, Log());
    const MaskedText text = fill.prepare(golden.at("masked").at(model.texts).as_string(),
                                         golden.at("top_k").as_int(), {});
    for (const auto& one : orders) {
      const std::string name = one.first;
      CAPTURE(name);
      const auto answers = fill_jointly(
          fill, {&text, 1}, {.order = one.second, .n_beams = golden.at("beams").as_int()});
      const std::vector<Json>& wanted = expected.at("joint").at(name).items();
      REQUIRE(answers[0].size() == wanted.size());
      for (size_t i = 0; i < wanted.size(); ++i) {
        CHECK(answers[0][i].tokens == ids_of(wanted[i].at("tokens")));
        CHECK(answers[0][i].log_probability ==
              doctest::Approx(wanted[i].at("log_probability").as_double()).epsilon(1e-5));
      }
    }
    const std::vector<Json>& words = golden.at("words").at(model.texts).items();
    for (size_t w = 0; w < words.size(); ++w) {
      const Json& wanted = expected.at("words").items()[w];
      const auto tokens = fill.target_tokens({words[w].as_string()});
      REQUIRE(tokens == std::vector<std::vector<int32_t>>{ids_of(wanted.at("tokens"))});
      const TokensAnswers answers = fill.fill_with(text, tokens);
      const std::vector<double> sums = doubles(wanted.at("log_probabilities"));
      REQUIRE(answers.size() == sums.size());
      for (size_t m = 0; m < sums.size(); ++m) {
        CHECK(answers[m][0].log_probability == doctest::Approx(sums[m]).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("score, embed: the same bits for any batch and any number of threads") {
  std::vector<EncodedText> texts;
  std::string scores[3];
  std::vector<float> rows[3];
  const std::pair<int64_t, int> ways[] = {{0, 1}, {50, 2}, {4096, 2}};
  for (int way = 0; way < 3; ++way) {
    const auto [batch_tokens, threads] = ways[way];
    Scorer scorer(tiny(batch_tokens, threads), ScoreMasking::kToken, Log());
    Embedder embedder(tiny(batch_tokens, threads), {}, Log());
    texts.clear();
    for (int i = 0; i < 25; ++i) {
      texts.push_back(scorer.prepare("The king" + repeated(" of the sea", i % 9) + ".", false));
    }
    texts.push_back(scorer.prepare("", false));
    for (const TextScore& score : scorer.score(texts)) {
      for (const double value : score.log_probabilities) {
        scores[way] += cat(std::bit_cast<uint64_t>(value), " ");
      }
      scores[way] += "\n";
    }
    rows[way].resize(texts.size() * static_cast<size_t>(embedder.size()));
    embedder.embed(texts, rows[way]);
  }
  CHECK(scores[0].size() > 1000);
  CHECK(scores[0] == scores[1]);
  CHECK(scores[0] == scores[2]);
  CHECK(rows[0] == rows[1]);
  CHECK(rows[0] == rows[2]);
}

TEST_CASE("score: what is scored, and what cannot be") {
  Scorer scorer(tiny(), ScoreMasking::kToken, Log());
  const auto of = [&](const std::string& text) {
    const EncodedText encoded = scorer.prepare(text, false);
    return scorer.score({&encoded, 1}).front();
  };
  CHECK(of("").tokens.empty());
  CHECK(of("").sum() == 0.0);
  CHECK(std::isnan(of("").perplexity()));
  CHECK(of("[MASK]").tokens.empty());
  CHECK(of("the [MASK] king").tokens.size() == 2);
  const std::string endless = repeated(" word", 600);
  CHECK(error_of([&] { scorer.prepare(endless, false); }) ==
        "the text has 602 tokens; the model has positions for 512");
  const EncodedText cut = scorer.prepare(endless, true);
  CHECK(cut.ids.size() == 512);
  CHECK(cut.n_cut == 90);
  CHECK(scorer.score({&cut, 1}).front().tokens.size() == 510);
}

TEST_CASE("fill-mask: a word of one token has the pipeline's score; ties and limits") {
  FillMask fill(tiny(), Log());
  const std::string paris = "The capital of France is [MASK].";
  const MaskAnswers single = fill.fill(paris, 2, fill.target_ids({"france", "paris"}));
  const MaskedText text = fill.prepare(paris, 2, {});
  const TokensAnswers words =
      fill.fill_with(text, fill.target_tokens({"paris", "france", "xylophonist"}));
  REQUIRE(words.size() == 1);
  REQUIRE(words[0].size() == 2);  // top_k
  for (size_t i = 0; i < 2; ++i) {
    CHECK(words[0][i].tokens == std::vector<int32_t>{single[0][i].token});
    CHECK(std::exp(words[0][i].log_probability) ==
          doctest::Approx(single[0][i].score).epsilon(1e-6));
    CHECK(words[0][i].sequence == single[0][i].sequence);
  }
  // One mask filled jointly is the pipeline's answer, too.
  for (const FillOrder order :
       {FillOrder::kLeftToRight, FillOrder::kConfidence, FillOrder::kBeam}) {
    const auto joint = fill_jointly(fill, {&text, 1}, {.order = order});
    const MaskAnswers best = fill.fill(paris, 2, {});
    REQUIRE(joint[0].size() == 2);
    for (size_t i = 0; i < 2; ++i) {
      CHECK(joint[0][i].tokens[0] == best[0][i].token);
      CHECK(joint[0][i].sequence == best[0][i].sequence);
    }
  }
  const MaskedText among = fill.prepare("[MASK] [MASK]", 9, fill.target_ids({"king"}));
  const auto only = fill_jointly(fill, {&among, 1}, {.order = FillOrder::kBeam});
  CHECK(only[0].size() == 1);
  CHECK(error_of([&] {
          fill_jointly(fill, {&text, 1}, {.order = FillOrder::kBeam, .n_beams = 1});
        }) == "beams: expected at least top_k (2), got 1");
  const MaskedText longest = fill.prepare(repeated("[MASK] ", 510), 1, {});
  CHECK(error_of([&] {
          fill.fill_with(longest, {{5, 6}});
        }) == "the text has 513 tokens with a word of 2; the model has positions for 512");
}

TEST_CASE("score, embed, fill-mask: planned as they are built") {
  // A limit makes a session plan first; one that nothing fits into tells what it needs.
  InferOptions roomy = tiny();
  roomy.max_memory_MB = 4000;
  InferOptions tight = tiny();
  tight.max_memory_MB = 1;
  const auto check = [&](const auto& make) {
    CHECK(error_of([&] { make(roomy); }) == "");
    const std::string error = error_of([&] { make(tight); });
    CHECK(error.find("more than the 0.001 GB of max_memory_MB") != std::string::npos);
    const size_t at = error.find(" needs ");
    REQUIRE(at != std::string::npos);
    const double planned = std::stod(error.substr(at + 7));
    const double built = 1e-9 * static_cast<double>(make(roomy));
    CHECK(planned == doctest::Approx(built).epsilon(1e-4));
  };
  const auto total = [](const InferSession& session) { return session.memory().total(); };
  check([&](const InferOptions& options) {
    return total(Scorer(options, ScoreMasking::kToken, Log()).session());
  });
  check([&](const InferOptions& options) { return total(Embedder(options, {}, Log()).session()); });
  check([&](const InferOptions& options) {
    const FillMask fill(options, Log());
    size_t n_bytes = 0;
    for (const MemoryRow& row : fill.memory()) n_bytes += row.n_bytes;
    return n_bytes;
  });
}

TEST_CASE("embed: bare encoders, lengths, layers, room") {
  const EmbedOptions unit{.normalize = true};
  Embedder embedder(tiny(), unit, Log());
  const std::vector<float> row = embed(embedder, {"The king of the sea."});
  double squares = 0.0;
  for (const float x : row) squares += static_cast<double>(x) * static_cast<double>(x);
  CHECK(squares == doctest::Approx(1.0).epsilon(1e-6));
  CHECK(error_of([&] { embedder.prepare(repeated("word ", 600), false); }).find("602 tokens") !=
        std::string::npos);
  CHECK(embedder.prepare(repeated("word ", 600), true).n_cut == 90);
  const EncodedText text = embedder.prepare("a", false);
  std::vector<float> little(3);
  CHECK(error_of([&] {
          embedder.embed({&text, 1}, little);
        }).find("expected room for 1 x 256") != std::string::npos);
  CHECK(error_of([&] { Embedder(tiny(), {.layer = 99}, Log()); }).find("layer: expected 0 .. ") ==
        0);
}

}  // namespace qe
