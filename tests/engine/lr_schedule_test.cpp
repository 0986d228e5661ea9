// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/lr_schedule.h"

#include <doctest/doctest.h>

#include "kernels/core/error.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

LrSchedule schedule(const std::string& name, const std::string& kwargs = "{}", double rate = 1.0,
                    int64_t warmup = 3, int64_t total = 10) {
  return LrSchedule({name, Json::parse(kwargs, "kwargs"), rate, warmup, total});
}

std::string error_with(const std::string& name, const std::string& kwargs) {
  return error_of([&] { schedule(name, kwargs); });
}

}  // namespace

TEST_CASE("lr_schedule: every schedule gives transformers' rates") {
  const Json golden = Json::parse_file(test::golden_path("settings/schedules.json"));
  const double peak = golden.at("learning_rate").as_double();
  CHECK(golden.at("schedules").items().size() > 20);
  for (const Json& row : golden.at("schedules").items()) {
    const LrSchedule s({row.at("name").as_string(), row.at("kwargs"), peak,
                        row.at("warmup").as_int(), golden.at("total").as_int()});
    CAPTURE(row.at("name").as_string());
    CAPTURE(row.at("kwargs").dump());
    CHECK_FALSE(s.follows_metric());
    CHECK(s.state().is_null());
    const auto& rates = row.at("rates").items();
    for (size_t step = 0; step < rates.size(); ++step) {
      CAPTURE(step);
      CHECK(s.rate(static_cast<int64_t>(step)) ==
            doctest::Approx(rates[step].as_double()).epsilon(1e-12));
    }
  }
}

TEST_CASE("lr_schedule: reduce_lr_on_plateau gives torch's rates, also after every restart") {
  const Json golden = Json::parse_file(test::golden_path("settings/schedules.json"));
  const double peak = golden.at("learning_rate").as_double();
  for (const Json& row : golden.at("plateaus").items()) {
    CAPTURE(row.at("kwargs").dump());
    const LrSchedule::Options options{"reduce_lr_on_plateau", row.at("kwargs"), peak, 0, 10};
    LrSchedule s(options);
    CHECK(s.follows_metric());
    CHECK(s.rate(0) == peak);
    const auto& metrics = golden.at("metrics").items();
    for (size_t i = 0; i < metrics.size(); ++i) {
      s.observe(metrics[i].as_double());
      CHECK(s.rate(5) == doctest::Approx(row.at("rates").items()[i].as_double()).epsilon(1e-12));
      LrSchedule again(options);
      again.restore(Json::parse(s.state().dump(), "state"));
      s = again;
    }
  }
}

TEST_CASE("lr_schedule: edges") {
  CHECK(schedule("linear").rate(10) == 0.0);
  CHECK(schedule("linear", "{}", 1, 0).rate(0) == 1.0);
  CHECK(schedule("linear", "{}", 1, 10).rate(0) == 0.0);
  CHECK(schedule("polynomial", "{}", 1, 10).rate(10) == doctest::Approx(1e-7));
  CHECK(schedule("cosine", R"({"num_cycles": null})").rate(3) == 1.0);
}

TEST_CASE("lr_schedule: settings that cannot be are one clear error") {
  CHECK(error_with("step", "{}") == "lr_scheduler_type: unknown schedule \"step\"");
  CHECK(error_with("linear", R"({"power": 2})") == "kwargs: /power: linear has no settings");
  CHECK(error_with("polynomial", R"({"powre": 2})") ==
        "kwargs: /powre: polynomial does not know this key; it has lr_end, power");
  CHECK(error_with("polynomial", R"({"power": "2"})") ==
        "kwargs: /power: expected a number, got \"2\"");
  CHECK(error_with("polynomial", R"({"lr_end": 2})") ==
        "lr_scheduler_kwargs: lr_end: expected less than the learning rate 1, got 2");
  CHECK(error_with("cosine_with_min_lr", "{}") ==
        "lr_scheduler_kwargs: cosine_with_min_lr needs min_lr or min_lr_rate, and not both");
  CHECK(error_with("cosine_with_min_lr", R"({"min_lr": 0.1, "min_lr_rate": 0.1})") ==
        "lr_scheduler_kwargs: cosine_with_min_lr needs min_lr or min_lr_rate, and not both");
  CHECK(error_with("warmup_stable_decay", "{}") ==
        "lr_scheduler_kwargs: warmup_stable_decay needs num_decay_steps");
  CHECK(error_with("warmup_stable_decay", R"({"num_decay_steps": 2, "decay_type": "sqrt"})") ==
        "kwargs: /decay_type: expected one of cosine|linear|1-sqrt, got \"sqrt\"");
  CHECK(error_with("reduce_lr_on_plateau", R"({"factor": 1})")
            .find("kwargs: /factor: expected a number of at least 0") == 0);
}

}  // namespace qe
