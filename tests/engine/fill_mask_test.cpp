// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The example model against transformers: tests over examples/tiny-mlm/golden.json.
#include "engine/infer/fill_mask.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <fstream>

#include "engine/memory/planning.h"
#include "tests/support/device.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const std::string kModel = test::example_path("tiny-mlm");

FillMask tiny(int64_t bits, Log log = Log()) {
  return FillMask({.model = kModel,
                   .base = {.bits = bits},
                   .device = test::device_setting(),
                   .compute_dtype = test::compute_setting(),
                   .threads = 2},
                  log);
}

std::vector<int32_t> ids_of(const Json& list) {
  std::vector<int32_t> ids;
  for (const Json& id : list.items()) ids.push_back(static_cast<int32_t>(id.as_int()));
  return ids;
}

}  // namespace

TEST_CASE("tiny-mlm: ids and logits at the mask are those of transformers") {
  FillMask model = tiny(32);
  const Json golden = Json::parse_file(kModel + "/golden.json");
  REQUIRE(golden.at("examples").items().size() >= 5);
  for (const Json& example : golden.at("examples").items()) {
    CAPTURE(example.at("text").as_string());
    const std::vector<int32_t> ids = ids_of(example.at("input_ids"));
    CHECK(model.tokenizer().encode(example.at("text").as_string()).ids == ids);
    const std::vector<std::vector<float>> logits = model.logits(ids);
    REQUIRE(logits.size() == 1);
    const std::vector<Json>& top = example.at("top_ids").items();
    double sum = 0.0;
    for (const float value : logits[0]) sum += value;
    CHECK(sum / static_cast<double>(logits[0].size()) ==
          doctest::Approx(example.at("mean").as_double()).epsilon(1e-4));
    for (size_t i = 0; i < top.size(); ++i) {
      CHECK(std::abs(logits[0][top[i].as_int()] - example.at("top_logits").items()[i].as_double()) <
            1e-4);
    }
    const auto answers = model.fill(example.at("text").as_string(), 20, {});
    REQUIRE(answers.size() == 1);
    for (size_t i = 0; i < top.size(); ++i) {
      CHECK(answers[0][i].token == top[i].as_int());
      CHECK(answers[0][i].score ==
            doctest::Approx(example.at("top_probs").items()[i].as_double()).epsilon(1e-4));
    }
  }
}

TEST_CASE("tiny-mlm: the mask-free loss over KJV valid") {
  const Json golden = Json::parse_file(kModel + "/golden.json").at("kjv_valid_every7");
  constexpr size_t kRun = 126;  // between [CLS] and [SEP]
  ThreadPool threads(2);
  StepState step;
  Arena arena;
  Context ctx{.threads = &threads, .arena = &arena, .step = &step};
  Memory memory(false);
  const Tokenizer tokenizer = Tokenizer::load(kModel);
  const MaskedLm model = load_masked_lm(kModel, {.bits = 32}, ctx, memory);
  std::vector<int32_t> ids;
  std::ifstream file(test::example_path("kjv/valid.txt"));
  for (std::string line; std::getline(file, line);) {
    const Encoding encoding = tokenizer.encode(line, {.add_special_tokens = false});
    ids.insert(ids.end(), encoding.ids.begin(), encoding.ids.end());
  }
  REQUIRE(static_cast<int64_t>(ids.size()) == golden.at("tokens_in_file").as_int());
  std::vector<PackedBatch> batches;
  for (size_t begin = 0; begin + kRun <= ids.size(); begin += kRun) {
    std::vector<int32_t> row{*tokenizer.cls_id()};
    row.insert(row.end(), ids.begin() + begin, ids.begin() + begin + kRun);
    row.push_back(*tokenizer.sep_id());
    if (begin == 0) CHECK(row == ids_of(golden.at("first_sequence_ids")));
    std::vector<int32_t> labels(row.size(), kNoLabel);
    for (size_t p = 3; p < row.size(); p += 7) {
      labels[p] = row[p];
      row[p] = *tokenizer.mask_id();
    }
    if (batches.empty() || batches.back().n_sequences() == 32) batches.emplace_back();
    batches.back().append(model.config, 0, row, {}, labels);
  }
  size_t n_bytes = 0;
  for (PackedBatch& batch : batches) {
    batch.token_capacity = batch.n_tokens();
    batch.label_capacity = batch.n_labels();
  }
  const auto evaluate = [&](Context& context, const PackedBatch& batch, MlmTotals* totals) {
    Tape tape(context, false);
    masked_lm_loss(model, ForwardPass{&tape, batch, nullptr, false}, false, totals);
  };
  MlmTotals totals;
  n_bytes = planned_arena_bytes(ctx, [&](Context& c) { evaluate(c, batches.front(), &totals); });
  arena = Arena(memory.allocate("arena", n_bytes), n_bytes);
  for (const PackedBatch& batch : batches) evaluate(ctx, batch, &totals);
  const double n = static_cast<double>(totals.n_labels);
  CHECK(totals.n_labels == golden.at("masked").as_int());
  CHECK(std::abs(totals.loss / n - golden.at("loss").as_double()) < 1e-5);
  CHECK(std::abs(static_cast<double>(totals.n_correct) / n - golden.at("accuracy").as_double()) <
        1e-4);
}

DEVICE_TEST_CASE("an adapter that train wrote gives the logits that peft computes with it") {
  const std::string folder = test::golden_path("trained-adapter");
  FillMask model({.model = test::golden_path("bert/model"),
                  .adapter = folder,
                  .base = {.bits = 32},
                  .device = test::device_setting(),
                  .compute_dtype = test::compute_setting(),
                  .threads = 2},
                 Log());
  const Json golden = Json::parse_file(folder + "/peft_logits.json");
  REQUIRE(golden.items().size() == 3);
  for (const Json& example : golden.items()) {
    const std::vector<std::vector<float>> logits = model.logits(ids_of(example.at("input_ids")));
    REQUIRE(logits.size() == 1);
    const std::vector<int32_t> top = ids_of(example.at("top_ids"));
    for (size_t i = 0; i < top.size(); ++i) {
      CHECK(std::abs(logits[0][top[i]] - example.at("top_logits").items()[i].as_double()) <
            10 * test::tolerance(test::Result::kModel, 1e-5));
    }
  }
}

DEVICE_TEST_CASE("fill-mask: several masks are filled independently, others stay") {
  FillMask model = tiny(32);
  const auto answers = model.fill("The [MASK] of France is [MASK].", 3, {});
  REQUIRE(answers.size() == 2);
  for (const auto& mask : answers) {
    REQUIRE(mask.size() == 3);
    CHECK(mask[0].score >= mask[1].score);
    for (const MaskAnswer& answer : mask) {
      CHECK(answer.sequence.find("[CLS]") != std::string::npos);
      CHECK(answer.sequence.find("[MASK]") != std::string::npos);
    }
  }
  std::string many;
  for (int i = 0; i < 20; ++i) many += "[MASK] and ";
  CHECK(model.fill(many, 1, {}).size() == 20);
}

TEST_CASE("fill-mask: texts that share forward passes get the same bits") {
  const auto answers_of = [](bool batches, int threads) {
    FillMask model({.model = kModel,
                    .base = {.bits = 4},
                    .device = "cpu",
                    .threads = threads,
                    .batch_tokens = batches ? kUsualBatchTokens : 0},
                   Log());
    std::vector<MaskedText> texts;
    // From one token beside the special ones to the longest text, with one mask or many.
    for (int i = 0; i < 150; ++i) {
      std::string text = "[MASK]";
      for (int w = 0; w < i % 40; ++w) text += w % 7 == 3 ? " [MASK] word" : " the king";
      texts.push_back(model.prepare(
          text, 1 + i % 3, i % 5 ? std::vector<int32_t>{} : std::vector<int32_t>{184, 847, 191}));
    }
    std::string longest = "[MASK]";
    for (int w = 0; w < 254; ++w) longest += " [MASK] king";
    texts.insert(texts.begin() + 70, model.prepare(longest, 1, {}));
    CHECK(texts[70].ids.size() > 500);
    for (int i = 0; i < 300; ++i) texts.push_back(model.prepare("[MASK]", 1, {}));
    std::string all;
    for (const MaskAnswers& answers : model.fill(texts)) {
      for (const auto& mask : answers) {
        for (const MaskAnswer& answer : mask) {
          all += cat(answer.token, " ", answer.sequence.size(), " ",
                     std::bit_cast<uint64_t>(answer.score), ",");
        }
        all += ";";
      }
      all += "\n";
    }
    return all;
  };
  const std::string alone = answers_of(false, 2);
  CHECK(alone == answers_of(true, 2));
  CHECK(alone == answers_of(true, 1));
}

DEVICE_TEST_CASE("fill-mask: targets are scored over the whole vocabulary") {
  std::vector<std::string> warnings;
  FillMask model =
      tiny(4, Log([&](LogLevel, const std::string& line) { warnings.push_back(line); }));
  const std::string text = "The capital of France is [MASK].";
  const std::vector<int32_t> ids = model.target_ids({"france", "latin", "france", "xylophonist"});
  REQUIRE(ids.size() == 3);
  CHECK(warnings.size() == 1);
  const auto among = model.fill(text, 5, ids);
  REQUIRE(among.size() == 1);
  REQUIRE(among[0].size() == 3);
  const auto all = model.fill(text, model.tokenizer().size(), {});
  for (const MaskAnswer& answer : among[0]) {
    const auto same = std::find_if(all[0].begin(), all[0].end(),
                                   [&](const MaskAnswer& a) { return a.token == answer.token; });
    REQUIRE(same != all[0].end());
    CHECK(same->score == answer.score);
    CHECK(same->sequence == answer.sequence);
  }
  double sum = 0.0;
  for (const MaskAnswer& answer : all[0]) sum += answer.score;
  CHECK(sum == doctest::Approx(1.0).epsilon(1e-5));
}

TEST_CASE("fill-mask: what cannot be filled is one clear error, and the model goes on") {
  FillMask model = tiny(4);
  CHECK(error_of([&] {
          model.fill("No blank here.", 5, {});
        }).find("No mask_token ([MASK]) found on the input") == 0);
  std::string endless = "[MASK]";
  for (int i = 0; i < 600; ++i) endless += " word";
  CHECK(error_of([&] { model.fill(endless, 5, {}); }).find("positions for 512") !=
        std::string::npos);
  CHECK(error_of([&] { model.target_ids({}); }).find("targets") != std::string::npos);
  CHECK(model.fill("This program is free [MASK].", 1, {})[0][0].token_str == "software");
}

}  // namespace qe
