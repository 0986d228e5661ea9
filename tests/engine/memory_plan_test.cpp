// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Plans for GPUs that are not here: every program can make them.
#include "engine/train/memory_plan.h"

#include <doctest/doctest.h>

#include <regex>

#include "formats/named_shapes.h"

namespace qe {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kGigabyte = 1'000'000'000;

/// Runs of a model of bert-large's layers (but fewer) on an H100.
class Planned {
 public:
  explicit Planned(Device device = {DeviceKind::kCuda, 0}) : threads_(1), device_(device) {
    encoder_.n_layers = encoder_.n_distinct_layers = 8;
    const bool on_gpu = device.kind == DeviceKind::kCuda;
    ctx_ = Context{.device = device,
                   .compute = on_gpu ? DType::kBF16 : DType::kF32,
                   .threads = &threads_,
                   .planning = true};
  }

  std::vector<MemoryRow> count(const RunConfig& config) const {
    Context ctx = ctx_;
    Memory memory(ctx);
    if (device_.kind == DeviceKind::kCuda) {
      memory.account(kDeviceOverheadRow, kAssumedDeviceOverhead);
    }
    RandomTensors weights("random", 1, ctx, true);
    const TrainingParts parts(config, shape_, encoder_, weights, ctx, memory, Log());
    return memory.rows();
  }
  size_t needed(const RunConfig& config) const { return device_bytes(count(config), device_); }

  MemoryPlan plan(const RunConfig& config, size_t limit) const {
    return plan_memory(config, shape_, encoder_, device_, {limit, "max_memory_MB"},
                       [&](const RunConfig& c) { return count(c); });
  }
  std::string error(const RunConfig& config, size_t limit) const {
    try {
      plan(config, limit);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  EncoderConfig encoder_ = named_encoder_config("bert-large");
  RunShape shape_{.trains = true,
                  .train_samples = 100000,
                  .train_length = 512,
                  .eval_samples = 1000,
                  .eval_length = 512};
  ThreadPool threads_;
  Device device_;
  Context ctx_;
};

RunConfig settings(const Settings& given) { return read_run_config("", given); }

std::string origin_of(const RunConfig& config, const std::string& key) {
  for (const RunConfig::Origin& origin : config.origins) {
    if (origin.key == key) return origin.value + " <- " + origin.origin;
  }
  return "";
}

int64_t resident_layers(const RunConfig& config) {
  const Json& setting = config.resident_weights;
  return setting.is_bool() ? (setting.as_bool() ? 1000 : 0) : setting.as_int();
}

}  // namespace

TEST_CASE("memory_plan: what it says fits has a total within the limit; more memory too") {
  const Planned planned;
  const RunConfig config = settings({});
  bool fitted = true;
  int n_split = 0, n_recomputed = 0;
  for (size_t limit = 8 * kGigabyte; limit > kGigabyte / 2; limit -= kGigabyte / 4) {
    CAPTURE(limit);
    try {
      const MemoryPlan plan = planned.plan(config, limit);
      CHECK(fitted);  // with more memory it did
      CHECK(planned.needed(plan.config) <= limit);
      CHECK(planned.needed(plan.config) == device_bytes(plan.rows, {DeviceKind::kCuda, 0}));
      CHECK(plan.config.per_device_train_batch_size * plan.config.gradient_accumulation_steps == 8);
      n_split += plan.config.per_device_train_batch_size < 8;
      n_recomputed += plan.config.gradient_checkpointing;
    } catch (const Error&) {
      fitted = false;
    }
  }
  CHECK(!fitted);
  CHECK(n_split > 0);
  CHECK(n_recomputed > 0);
}

TEST_CASE("memory_plan: the cheapest change comes first") {
  const Planned planned;
  // 16 k tokens in a micro-batch; the batch counts as nobody's.
  const auto run = [](const Settings& given) {
    RunConfig config = settings(given);
    config.per_device_train_batch_size = 32;
    return config;
  };
  const RunConfig config = run({{"optim", "adamw_torch"}});
  const size_t all = planned.needed(run({{"resident_weights", "true"}}));
  const size_t none = planned.needed(run({{"resident_weights", "false"}}));
  REQUIRE(none < all);

  MemoryPlan plan = planned.plan(config, all);
  CHECK(origin_of(plan.config, "resident_weights") == "true <- auto: there is room");
  CHECK(plan.notes.empty());

  // Weights give way layer by layer.
  plan = planned.plan(config, all - 1);
  CHECK(resident_layers(plan.config) > 0);
  CHECK(resident_layers(plan.config) < 8);
  CHECK(plan.config.per_device_train_batch_size == 32);
  CHECK(!plan.config.gradient_checkpointing);
  REQUIRE(plan.notes.size() == 1);
  RunConfig more = plan.config;
  more.resident_weights = Json(resident_layers(plan.config) + 1);
  CHECK(planned.needed(more) > all - 1);

  // Then the micro-batch is split: 8 % here, where recomputing costs 36.
  plan = planned.plan(config, none - 1);
  CHECK(plan.config.per_device_train_batch_size == 16);
  CHECK(plan.config.gradient_accumulation_steps == 2);
  CHECK(!plan.config.gradient_checkpointing);
  CHECK(!pages_states(plan.config));  // optim is somebody's
  CHECK(origin_of(plan.config, "gradient_accumulation_steps").starts_with("2 <- to fit "));

  // States may be paged where nobody chose an optimizer: 2 % at rank 16.
  const Settings thin = {{"lora_r", "16"}, {"resident_weights", "false"}};
  plan = planned.plan(run({{"lora_r", "16"}}), planned.needed(run(thin)) - 1);
  CHECK(pages_states(plan.config));
  CHECK(plan.config.per_device_train_batch_size == 32);
  CHECK(origin_of(plan.config, "paged_states").starts_with("true <- to fit "));

  // At 4 k tokens four micro-batches would cost more than recomputing.
  const auto small = [](const Settings& given) {
    Settings more = given;
    more.emplace_back("optim", "adamw_torch");
    return settings(more);
  };
  RunConfig halved = small({{"resident_weights", "false"}});
  halved.per_device_train_batch_size = 4;
  plan = planned.plan(small({}), planned.needed(halved) - 1);
  CHECK(plan.config.gradient_checkpointing);
  CHECK(plan.config.per_device_train_batch_size == 8);
}

TEST_CASE("memory_plan: without a limit everything is as set, and weights are resident") {
  const Planned planned;
  const RunConfig config = settings({{"per_device_train_batch_size", "64"}});
  const MemoryPlan plan = planned.plan(config, 0);
  CHECK(plan.config.per_device_train_batch_size == 64);
  CHECK(resident_layers(plan.config) == 1000);
  CHECK(plan.notes.empty());
  CHECK(planned.plan(settings({{"bits", "32"}}), 0).config.resident_weights.as_bool() == false);
}

TEST_CASE("memory_plan: what somebody set is obeyed; the error names what fits, and it does") {
  const Planned planned;
  Settings given = {{"per_device_train_batch_size", "16"},
                    {"gradient_checkpointing", "false"},
                    {"optim", "adamw_torch"},
                    {"resident_weights", "true"},
                    {"gradient_accumulation_steps", "1"},
                    {"per_device_eval_batch_size", "16"}};
  const RunConfig config = settings(given);
  const size_t total = planned.needed(config);
  int n_alone = 0, n_together = 0;
  for (const double share : {0.99, 0.9, 0.7, 0.5, 0.35, 0.3}) {
    const auto limit = static_cast<size_t>(share * static_cast<double>(total));
    const std::string error = planned.error(config, limit);
    CAPTURE(error);
    REQUIRE(error.find("memory: this run needs ") == 0);
    CHECK(error.find('\n') == std::string::npos);
    const size_t begin = error.find("it fits with ");
    if (begin == std::string::npos) {
      CHECK(error.find("nothing makes it fit") != std::string::npos);
      continue;
    }
    const std::string fitting = error.substr(begin, error.find("; not with only") - begin);
    // Every "a=1 b=2 (3.21 GB)".
    const std::regex item("((?:[a-z_]+=[a-z0-9]+ ?)+)\\(([0-9.]+) (G|M)B\\)");
    const std::regex pair("([a-z_]+)=([a-z0-9]+)");
    int n_items = 0;
    for (std::sregex_iterator i(fitting.begin(), fitting.end(), item), end; i != end; ++i) {
      Settings changed = given;
      const std::string pairs = (*i)[1];
      for (std::sregex_iterator p(pairs.begin(), pairs.end(), pair); p != end; ++p) {
        changed.emplace_back((*p)[1], (*p)[2]);
      }
      const MemoryPlan plan = planned.plan(settings(changed), limit);
      CHECK(device_bytes(plan.rows, {DeviceKind::kCuda, 0}) <= limit);
      CHECK(static_cast<double>(device_bytes(plan.rows, {DeviceKind::kCuda, 0})) * 1e-9 ==
            doctest::Approx(std::stod((*i)[2]) * ((*i)[3] == "G" ? 1 : 1e-3)).epsilon(0.01));
      ++(changed.size() == given.size() + 1 ? n_alone : n_together);
      ++n_items;
    }
    CHECK(n_items > 0);
  }
  CHECK(n_alone > 0);
  CHECK(n_together > 0);
  CHECK(planned.error(config, kGigabyte / 2).find("nothing makes it fit: the least is ") !=
        std::string::npos);
}

TEST_CASE("memory_plan: micro-batches are not split where their means or sizes count") {
  const Planned planned;
  for (const auto& [key, value] :
       {std::pair{"loss_norm", "microbatch"}, std::pair{"dataloader_drop_last", "true"},
        std::pair{"per_device_train_batch_tokens", "4096"}}) {
    const RunConfig config = settings({{key, value}});
    const size_t least = planned.needed(settings({{key, value},
                                                  {"resident_weights", "false"},
                                                  {"paged_states", "true"},
                                                  {"gradient_checkpointing", "true"}}));
    CHECK(planned.plan(config, least).config.per_device_train_batch_size == 8);
    CHECK(planned.error(config, least - 1).find("per_device_train_batch_size=") ==
          std::string::npos);
  }
}

TEST_CASE("memory_plan: on the CPU the limit is of host memory") {
  const Planned planned(Device{});
  const RunConfig config = settings({});
  const size_t asked = planned.needed(config);
  const MemoryPlan plan = planned.plan(config, asked - 1);
  CHECK(planned.needed(plan.config) < asked);
  CHECK(plan.config.per_device_train_batch_size == 4);
  CHECK(!pages_states(plan.config));
  CHECK(planned.plan(config, asked).config.per_device_train_batch_size == 8);
}

}  // namespace qe
