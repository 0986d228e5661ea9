// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The C ABI: the same answers as the engine's own classes give, in any company; and every kind of
// misuse.
#include <doctest/doctest.h>

#include <cstring>
#include <future>
#include <thread>

#include "engine/api/qlora_engine.hpp"
#include "engine/infer/embed.h"
#include "engine/infer/fill_mask.h"
#include "engine/infer/scoring.h"
#include "tests/support/device.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

extern "C" int fill_in_c(qe_model* model, const char* text, qe_answer* answers, size_t capacity,
                         qe_error* error);

namespace qe {
namespace {

using qlora_engine::Model;

const std::string kBase = test::golden_path("bert/model");
const std::string kAdapter = test::golden_path("bert/adapter");

struct Settings {
  std::string device = test::device_setting(), compute = test::compute_setting();
};

qe_open_options open_options(const Settings& settings) {
  qe_open_options options = qlora_engine::open_options();
  options.device = settings.device.c_str();
  options.compute_dtype = settings.compute.c_str();
  options.bits = 32;
  options.threads = 2;
  options.batch_tokens = 64;
  return options;
}

Model open_model() {
  const Settings settings;
  return Model(kBase, open_options(settings));
}

InferOptions infer_options(const std::string& adapter) {
  return {.model = kBase,
          .adapter = adapter,
          .base = {.bits = 32},
          .device = test::device_setting(),
          .compute_dtype = test::compute_setting(),
          .threads = 2,
          .batch_tokens = 64};
}

// Texts of the golden model's vocabulary.
std::vector<std::string> masked_texts() {
  return {"the [MASK] of the lord", "and [MASK] said unto [MASK] .", "[MASK]",
          "in the beginning god created the heaven and the [MASK] ."};
}

struct Ended {
  std::promise<std::pair<qe_status, std::string>> promise;
  std::future<std::pair<qe_status, std::string>> future = promise.get_future();
  static void callback(void* user, qe_status status, const char* message) {
    static_cast<Ended*>(user)->promise.set_value({status, message});
  }
};

// Holds the serving thread: its request's callback waits until release().
class Holding {
 public:
  explicit Holding(Model& model) {
    const qe_text text{"the", 3};
    row_.resize(static_cast<size_t>(model.info().hidden_size));
    qe_error error;
    REQUIRE(qe_submit_embed(model.handle(), &text, 1, QE_POOL_CLS, 0, nullptr, row_.data(), hold,
                            this, nullptr, &error) == QE_OK);
    held_.get_future().wait();
  }
  void release() { released_.set_value(); }

 private:
  static void hold(void* user, qe_status, const char*) {
    auto* self = static_cast<Holding*>(user);
    std::future<void> released = self->released_.get_future();
    self->held_.set_value();
    released.wait();
  }
  std::vector<float> row_;
  std::promise<void> held_, released_;
};

template <class Call>
std::pair<qe_status, std::string> outcome(const Call& call) {
  qe_error error;
  std::memset(&error, 'x', sizeof(error));
  const qe_status status = call(&error);
  REQUIRE(std::memchr(error.message, '\0', sizeof(error.message)) != nullptr);
  return {status, error.message};
}

void check_same(const std::vector<qe_answer>& answers, const std::vector<MaskAnswers>& expected) {
  size_t n = 0;
  for (size_t t = 0; t < expected.size(); ++t) {
    for (const auto& of_mask : expected[t]) {
      for (const MaskAnswer& answer : of_mask) {
        REQUIRE(n < answers.size());
        CHECK(answers[n].text == static_cast<int32_t>(t));
        CHECK(answers[n].token == answer.token);
        CHECK(answers[n].probability == static_cast<float>(answer.score));
        ++n;
      }
    }
  }
  CHECK(n == answers.size());
}

std::vector<MaskAnswers> fill_one_by_one(FillMask& model, const std::vector<std::string>& texts) {
  std::vector<MaskAnswers> answers;
  for (const std::string& text : texts) answers.push_back(model.fill(text, 3, {}));
  return answers;
}

}  // namespace

DEVICE_TEST_CASE("c api: fill-mask, scores and embeddings are the engine's, base and adapter") {
  Model model = open_model();
  const std::vector<std::string> texts = masked_texts();
  const std::vector<std::string> plain{"the lord said", "god", "and the earth was without form"};
  for (const std::string& folder : {std::string(), kAdapter}) {
    CAPTURE(folder);
    const int64_t adapter = folder.empty() ? QE_BASE : model.attach(folder);
    const qe_request_options options = qlora_engine::request_options(adapter);
    FillMask fill(infer_options(folder), Log());
    // On a GPU products may differ with the batch; these have the same.
    const std::vector<MaskedText> prepared = [&] {
      std::vector<MaskedText> all;
      for (const std::string& text : texts) all.push_back(fill.prepare(text, 3, {}));
      return all;
    }();
    check_same(model.fill_mask(texts, 3, options), fill.fill(prepared));
    Scorer scorer(infer_options(folder), ScoreMasking::kToken, Log());
    Embedder embedder(infer_options(folder), {.normalize = true}, Log());
    std::vector<EncodedText> encoded;
    for (const std::string& text : plain) encoded.push_back(scorer.prepare(text, false));
    const std::vector<TextScore> expected = scorer.score(encoded);
    const std::vector<qe_text_score> scores = model.score(plain, options);
    for (size_t i = 0; i < plain.size(); ++i) {
      CHECK(scores[i].log_probability ==
            doctest::Approx(expected[i].sum()).epsilon(test::on_gpu() ? 1e-2 : 1e-12));
      CHECK(scores[i].n_tokens == static_cast<int64_t>(expected[i].tokens.size()));
    }
    std::vector<float> rows(plain.size() * static_cast<size_t>(embedder.size()));
    embedder.embed(encoded, rows);
    CHECK(model.embed(plain, QE_POOL_MEAN, true, options) == rows);
  }
}

TEST_CASE("c api: many threads, adapters mixed, the same bits as alone") {
  Model model = open_model();
  const std::vector<std::string> texts = masked_texts();
  FillMask base(infer_options(""), Log()), adapted(infer_options(kAdapter), Log());
  const std::vector<MaskAnswers> of_base = fill_one_by_one(base, texts);
  const std::vector<MaskAnswers> of_adapter = fill_one_by_one(adapted, texts);
  const std::vector<float> rows = model.embed({"the lord"});
  std::vector<std::thread> threads;
  std::atomic<int> n_wrong = 0;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        if (t == 5) {  // adapters come and go beside the requests of others
          const int64_t passing = model.attach(kAdapter);
          model.detach(passing);
          continue;
        }
        const bool with_adapter = (t + i) % 2 == 1;
        const int64_t adapter = with_adapter ? model.attach(kAdapter) : QE_BASE;
        const size_t which = static_cast<size_t>(t + i) % texts.size();
        const auto answers =
            model.fill_mask({texts[which]}, 3, qlora_engine::request_options(adapter));
        const MaskAnswers& expected = (with_adapter ? of_adapter : of_base)[which];
        size_t n = 0;
        for (const auto& of_mask : expected) {
          for (const MaskAnswer& answer : of_mask) {
            n_wrong += answers[n].token != answer.token ||
                       answers[n].probability != static_cast<float>(answer.score);
            ++n;
          }
        }
        n_wrong += model.embed({"the lord"}) != rows;
        if (with_adapter) model.detach(adapter);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(n_wrong == 0);
}

DEVICE_TEST_CASE("c api: requests with different adapters share a pass, and answer as alone") {
  const Settings settings;
  qe_open_options options = open_options(settings);
  options.batch_tokens = 256;
  Model model(test::golden_path("families/roberta/model"), options);
  const std::string lora = test::golden_path("families/roberta/adapter");
  const int64_t first = model.attach(lora), second = model.attach(lora);
  const int64_t dora = model.attach(test::golden_path("adapters/dora/adapter"));  // shares no pass
  const std::vector<std::string> texts{"the <mask> of a king", "a day in the land of <mask> and d",
                                       "<mask>"};
  struct Asked {
    int64_t adapter;
    std::string text;
    qe_answer answers[8];
    size_t n = 0;
    Ended ended;
  };
  std::vector<std::unique_ptr<Asked>> all;
  Holding holding(model);
  for (const int64_t adapter : {int64_t{QE_BASE}, second, first, dora, int64_t{QE_BASE}, second}) {
    auto asked = std::make_unique<Asked>();
    asked->adapter = adapter;
    asked->text = texts[all.size() % texts.size()];
    const qe_text text{asked->text.data(), asked->text.size()};
    const qe_request_options request = qlora_engine::request_options(adapter);
    qe_error error;
    REQUIRE(qe_submit_fill_mask(model.handle(), &text, 1, 3, nullptr, 0, &request, asked->answers,
                                8, &asked->n, Ended::callback, &asked->ended, nullptr,
                                &error) == QE_OK);
    all.push_back(std::move(asked));
  }
  holding.release();
  for (const auto& asked : all) {
    CAPTURE(asked->adapter);
    const auto [status, message] = asked->ended.future.get();
    REQUIRE_MESSAGE(status == QE_OK, message);
    const std::vector<qe_answer> alone =
        model.fill_mask({asked->text}, 3, qlora_engine::request_options(asked->adapter));
    REQUIRE(asked->n == alone.size());
    for (size_t i = 0; i < alone.size(); ++i) {
      if (!test::on_gpu()) {
        CHECK(asked->answers[i].token == alone[i].token);
        CHECK(asked->answers[i].probability == alone[i].probability);
      } else {
        CHECK(asked->answers[i].probability ==
              doctest::Approx(alone[i].probability)
                  .epsilon(test::tolerance(test::Result::kModel, 1e-4)));
      }
    }
  }
  // The adapter changes something here.
  CHECK(model.fill_mask({texts[0]}, 1)[0].probability !=
        model.fill_mask({texts[0]}, 1, qlora_engine::request_options(first))[0].probability);
}

TEST_CASE("c api: from C, tokens and texts") {
  Model model = open_model();
  qe_answer answers[8];
  qe_error error;
  CHECK(fill_in_c(model.handle(), "the [MASK] .", answers, 8, &error) == 5);
  CHECK(fill_in_c(model.handle(), "the lord", answers, 8, &error) == -1);
  CHECK(std::string(error.message).find("[MASK]") != std::string::npos);
  const std::vector<int32_t> ids = model.tokenize("the lord");
  CHECK(ids.size() == 4);
  CHECK(model.detokenize(ids, true) == "the lord");
  CHECK(model.token_text(ids[1]) == "the");
  const qe_info info = model.info();
  CHECK(info.mask_token == std::string("[MASK]"));
  CHECK(info.has_head == 1);
  CHECK(info.device_bytes > 0);
  CHECK(qe_abi_version() == QE_ABI_VERSION);
  CHECK(std::string(qe_version()).find('.') != std::string::npos);
}

TEST_CASE("c api: null pointers, wrong sizes, unknown adapters, texts and folders that cannot be") {
  Model model = open_model();
  qe_model* const m = model.handle();
  const qe_text text{"the [MASK]", SIZE_MAX}, no_mask{"the", 3}, null{nullptr, 3};
  const std::string long_words = [] {
    std::string words = "[MASK]";
    for (int i = 0; i < 2000; ++i) words += " the";
    return words;
  }();
  const qe_text too_long{long_words.data(), long_words.size()};
  qe_answer answers[4];
  size_t n = 0;
  const auto fill = [&](qe_model* of, const qe_text* texts, size_t n_texts, int32_t top_k,
                        const qe_request_options* options, size_t capacity = 4) {
    return outcome([&](qe_error* error) {
      return qe_fill_mask(of, texts, n_texts, top_k, nullptr, 0, options, answers, capacity, &n,
                          error);
    });
  };
  CHECK(fill(nullptr, &text, 1, 1, nullptr).first == QE_INVALID_ARGUMENT);
  CHECK(fill(m, nullptr, 1, 1, nullptr).first == QE_INVALID_ARGUMENT);
  CHECK(fill(m, &null, 1, 1, nullptr).first == QE_INVALID_ARGUMENT);
  CHECK(fill(m, &text, 0, 1, nullptr).first == QE_INVALID_ARGUMENT);
  CHECK(fill(m, &text, 1, 0, nullptr).first == QE_INVALID_ARGUMENT);
  CHECK(fill(m, &text, 1, -1, nullptr).first == QE_INVALID_ARGUMENT);
  CHECK(fill(m, &no_mask, 1, 1, nullptr).first == QE_INVALID_TEXT);
  CHECK(fill(m, &too_long, 1, 1, nullptr).first == QE_INVALID_TEXT);
  CHECK(fill(m, &text, 1, 1, nullptr, 0).first == QE_BUFFER_TOO_SMALL);
  CHECK(n == 1);
  qe_request_options options = qlora_engine::request_options(17);
  CHECK(fill(m, &text, 1, 1, &options).first == QE_UNKNOWN_ADAPTER);
  options.adapter = -1;
  CHECK(fill(m, &text, 1, 1, &options).first == QE_UNKNOWN_ADAPTER);
  options.adapter = QE_BASE;
  options.timeout_us = -1;
  CHECK(fill(m, &text, 1, 1, &options).first == QE_INVALID_ARGUMENT);
  options.timeout_us = 0;
  options.struct_size = 3;
  CHECK(fill(m, &text, 1, 1, &options).first == QE_INVALID_ARGUMENT);
  options.struct_size = 4096;
  CHECK(fill(m, &text, 1, 1, &options).first == QE_INVALID_ARGUMENT);
  qe_request_options_init(&options);
  options.truncate = 1;
  CHECK(fill(m, &too_long, 1, 1, &options).first == QE_OK);
  const int32_t bad_target = 1 << 30;
  CHECK(outcome([&](qe_error* error) {
          return qe_fill_mask(m, &text, 1, 1, &bad_target, 1, nullptr, answers, 4, &n, error);
        }).first == QE_INVALID_ARGUMENT);
  const qe_text invalid{"\xff\xfe [MASK]", SIZE_MAX};
  CHECK(fill(m, &invalid, 1, 1, nullptr).first == QE_OK);

  CHECK(outcome([&](qe_error* error) { return qe_detach(m, 3, error); }).first ==
        QE_UNKNOWN_ADAPTER);
  int64_t adapter = 0;
  const auto attach = [&](const std::string& folder) {
    return outcome([&](qe_error* error) { return qe_attach(m, folder.c_str(), &adapter, error); });
  };
  CHECK(attach("/nowhere").first == QE_BAD_FILE);
  const auto foreign = attach(test::golden_path("families/distilbert/adapter"));
  CHECK(foreign.first == QE_BAD_FILE);
  CHECK(foreign.second.find("another base") != std::string::npos);
  char small[1];
  CHECK(outcome([&](qe_error* error) {
          const int32_t id = 5;
          return qe_detokenize(m, &id, 1, 0, small, 1, &n, error);
        }).first == QE_BUFFER_TOO_SMALL);
  CHECK(outcome([&](qe_error* error) {
          const int32_t id = -7;
          return qe_detokenize(m, &id, 1, 0, small, 1, &n, error);
        }).first == QE_INVALID_ARGUMENT);
  CHECK(fill(m, &text, 1, 1, nullptr).first == QE_OK);  // as usable as before
  CHECK(qe_cancel(m, 12345) == 0);
  CHECK(qe_cancel(nullptr, 1) == 0);
  qe_model* closed = nullptr;
  qe_close(&closed);
  qe_close(nullptr);
}

TEST_CASE("c api: an adapter of a larger rank than the model was opened for") {
  const Settings settings;
  qe_open_options options = open_options(settings);
  options.max_adapter_rank = 1;
  Model model(kBase, options);
  int64_t adapter = 0;
  const auto refused = outcome([&](qe_error* error) {
    return qe_attach(model.handle(), kAdapter.c_str(), &adapter, error);
  });
  CHECK(refused.first == QE_INVALID_ARGUMENT);
  CHECK(refused.second.find("rank") != std::string::npos);
}

TEST_CASE("c api: models that cannot be opened") {
  const auto open = [](const char* folder, const qe_open_options* options) {
    qe_model* model = nullptr;
    const auto result =
        outcome([&](qe_error* error) { return qe_open(folder, options, &model, error); });
    CHECK(model == nullptr);
    return result;
  };
  qe_open_options options = qlora_engine::open_options();
  options.device = "cpu";
  CHECK(open(nullptr, &options).first == QE_INVALID_ARGUMENT);
  CHECK(open("/nowhere", &options).first == QE_BAD_FILE);
  CHECK(open("/nowhere", &options).second.find("/nowhere") != std::string::npos);
  options.device = "tpu";
  CHECK(open(kBase.c_str(), &options).first == QE_NO_DEVICE);
  options.device = "cpu";
  options.bits = 5;
  CHECK(open(kBase.c_str(), &options).first == QE_INVALID_ARGUMENT);
  options.bits = 4;
  options.max_memory_MB = 0.001;
  CHECK(open(kBase.c_str(), &options).first == QE_OUT_OF_MEMORY);
  options.struct_size = 0;
  CHECK(open(kBase.c_str(), &options).first == QE_INVALID_ARGUMENT);
  CHECK(outcome([](qe_error* error) { return qe_open("x", nullptr, nullptr, error); }).first ==
        QE_INVALID_ARGUMENT);
}

TEST_CASE("c api: submitted, cancelled, late, too many, closed") {
  const Settings settings;
  qe_open_options options = open_options(settings);
  options.queue_tokens = 40;
  Model model(kBase, options);
  std::vector<float> rows(static_cast<size_t>(model.info().hidden_size));
  const qe_text text{"the lord said", SIZE_MAX};
  const auto submit = [&](Ended& ended, uint64_t* id, int64_t timeout_us) {
    qe_request_options request = qlora_engine::request_options();
    request.timeout_us = timeout_us;
    return outcome([&](qe_error* error) {
             return qe_submit_embed(model.handle(), &text, 1, QE_POOL_MEAN, 0, &request,
                                    rows.data(), Ended::callback, &ended, id, error);
           })
        .first;
  };
  Ended done, cancelled, late, closed;
  uint64_t id = 0;
  Holding holding(model);
  CHECK(submit(done, nullptr, 0) == QE_OK);
  CHECK(submit(cancelled, &id, 0) == QE_OK);
  CHECK(submit(late, nullptr, 1) == QE_OK);
  CHECK(qe_cancel(model.handle(), id) == 1);
  CHECK(cancelled.future.get().first == QE_CANCELLED);
  CHECK(qe_cancel(model.handle(), id) == 0);
  std::vector<std::unique_ptr<Ended>> accepted;
  qe_status status = QE_OK;
  while (status == QE_OK && accepted.size() < 40) {
    accepted.push_back(std::make_unique<Ended>());
    status = submit(*accepted.back(), nullptr, 0);
  }
  CHECK(status == QE_OVERLOADED);
  accepted.pop_back();
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  holding.release();
  CHECK(done.future.get().first == QE_OK);
  CHECK(late.future.get().first == QE_DEADLINE_EXCEEDED);
  for (const auto& one : accepted) CHECK(one->future.get().first == QE_OK);

  Holding at_the_end(model);
  CHECK(submit(closed, nullptr, 0) == QE_OK);
  std::thread closing([&] { Model gone = std::move(model); });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  at_the_end.release();
  closing.join();
  const qe_status at_close = closed.future.get().first;
  CHECK((at_close == QE_CANCELLED || at_close == QE_OK));
}

}  // namespace qe
