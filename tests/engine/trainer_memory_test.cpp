// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// What whole training runs take, and that it changes nothing.
#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/model/device_memory.h"
#include "engine/train/trainer.h"
#include "tests/support/random_run.h"

namespace qe {

using test::adapter_bytes, test::random_run, test::run;

DEVICE_TEST_CASE("trainer: resident weights and paged states give the same bytes") {
  const TemporaryFolder folder;
  const RunConfig plain = random_run(folder, "plain");
  run(plain);
  RunConfig chosen = random_run(folder, "chosen");
  chosen.resident_weights = Json(true);
  chosen.paged_states = Json(false);
  run(chosen);
  CHECK(adapter_bytes(chosen.output_dir) == adapter_bytes(plain.output_dir));
}

DEVICE_TEST_CASE("trainer: the planned total is what the GPU has in use") {
  if (!test::on_gpu() || std::getenv("QE_SHARED_GPU") != nullptr) return;
  const TemporaryFolder folder;
  const int device = test::device().index;
  RunConfig config = random_run(folder, "use");
  config.optim = "adamw_torch";
  const size_t before = cuda::allocated_bytes(device);  // by other tests' objects
  Trainer trainer(config, Trainer::Task::kTrain, false, Log());
  trainer.train({});
  const cuda::DeviceInfo info = cuda::device_info(device);
  const auto planned = static_cast<double>(device_bytes(trainer.memory(), trainer.device()));
  const auto used = static_cast<double>(info.total_bytes - info.free_bytes - before);
  CAPTURE(planned);
  CAPTURE(used);
  CHECK(std::abs(used - planned) <= std::max(0.01 * planned, 64.0 * (1 << 20)));
}

TEST_CASE("trainer: max_memory_MB is obeyed, and a resumed run keeps the batch it was given") {
  const TemporaryFolder folder;
  const auto settings = [&](double megabytes, int64_t batch) {
    RunConfig config = random_run(folder, "limited");
    config.per_device_train_batch_size = batch;
    config.per_device_eval_batch_size = 1;
    config.gradient_accumulation_steps = 1;
    config.gradient_checkpointing = true;
    config.max_memory_MB = megabytes;
    config.save_strategy = "steps";
    config.save_steps = 2;
    config.max_steps = 4;
    config.origins = {{"per_device_train_batch_size", "8", "default (run_mlm.py)"},
                      {"gradient_accumulation_steps", "1", "default (run_mlm.py)"}};
    return config;
  };
  const auto bytes_of = [](const Trainer& trainer) {
    return device_bytes(trainer.memory(), trainer.device());
  };
  const Trainer free(settings(0, 8), Trainer::Task::kTrain, true, Log());
  CHECK(free.config().per_device_train_batch_size == 8);
  const double megabytes = static_cast<double>(bytes_of(free) - 1) * 1e-6;
  {
    Trainer limited(settings(megabytes, 8), Trainer::Task::kTrain, false, Log());
    CHECK(limited.config().per_device_train_batch_size == 4);
    CHECK(limited.config().gradient_accumulation_steps == 2);
    CHECK(bytes_of(limited) < bytes_of(free));
    limited.train({});
  }
  Trainer resumed(settings(0, 8), Trainer::Task::kTrain, false, Log());
  CHECK(resumed.config().per_device_train_batch_size == 4);
  CHECK(resumed.train({}).first_step == 4);
  CHECK_THROWS_WITH_AS(Trainer(settings(0.01, 8), Trainer::Task::kTrain, true, Log()),
                       doctest::Contains("more than the 0.0 MB of max_memory_MB"), Error);
}

DEVICE_TEST_CASE("trainer: planned bytes equal requested bytes, row by row") {
  const TemporaryFolder folder;
  for (const int64_t bits : {4, 32}) {
    for (const bool checkpointing : {false, true}) {
      RunConfig config = random_run(folder, "plan");
      config.bits = bits;
      config.gradient_checkpointing = checkpointing;
      config.eval_strategy = "steps";
      const Trainer planned(config, Trainer::Task::kTrain, true, Log());
      const Trainer running(config, Trainer::Task::kTrain, false, Log());
      REQUIRE(planned.memory().size() == running.memory().size());
      for (size_t i = 0; i < planned.memory().size(); ++i) {
        CAPTURE(planned.memory()[i].name);
        CHECK(planned.memory()[i].name == running.memory()[i].name);
        CHECK(planned.memory()[i].kind == running.memory()[i].kind);
        if (planned.memory()[i].name == kDeviceOverheadRow) continue;  // measured
        CHECK(planned.memory()[i].n_bytes == running.memory()[i].n_bytes);
      }
    }
  }
}

}  // namespace qe
