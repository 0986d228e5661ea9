// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Whole training runs: against transformers and peft, and against themselves (resume, threads,
// instruction sets, plans).
#include "engine/train/trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "engine/model/device_memory.h"
#include "engine/train/batch_dump.h"
#include "kernels/cpu/isa.h"
#include "tests/support/golden_run.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

// The bytes of the adapter that a run writes.
std::string adapter_bytes(const std::string& folder) {
  const std::string bytes = content_of(folder + "/adapter_model.safetensors");
  REQUIRE(bytes.size() > 1000);
  return bytes;
}

// A run with everything random switched on: dropout everywhere, shuffling, masking, NF4.
RunConfig random_run(const TemporaryFolder& folder, const std::string& name) {
  const std::string model = folder.path() + "/model";
  if (!std::filesystem::exists(model)) {
    std::filesystem::copy(test::golden_path("bert/model"), model);
    Json json = Json::parse_file(model + "/config.json");
    json.set("hidden_dropout_prob", 0.1);
    json.set("attention_probs_dropout_prob", 0.1);
    folder.write("model/config.json", json.dump(2));
    std::string text;
    for (int i = 0; i < 70; ++i) {
      text += "the dog and the cat came in " + std::to_string(i) + " said god to moses\n";
    }
    folder.write("text.txt", text);
  }
  RunConfig config = test::golden_run(folder.path() + "/" + name);
  config.model_name_or_path = model;
  config.adapter_name_or_path.clear();
  config.train_file = folder.path() + "/text.txt";
  config.validation_file = config.train_file;
  config.line_by_line = true;
  config.train_sampling_strategy = "random";
  config.bits = 4;
  config.lora_r = 4;
  config.lora_alpha = 8;
  config.lora_dropout = 0.1;
  config.optim = "paged_adamw_32bit";
  config.max_steps = 14;  // an epoch has 12 updates
  return config;
}

TrainResult run(const RunConfig& config, const TrainEvents& events = {}) {
  Trainer trainer(config, Trainer::Task::kTrain, false, Log());
  return trainer.train(events);
}

}  // namespace

DEVICE_TEST_CASE("trainer: losses, norms, gradients and parameters of transformers + peft") {
  const Json golden = Json::parse_file(test::golden_path("bert/golden.json"));
  for (const auto& [name, bits, optim] : {std::tuple{"base.torch", 32, "adamw_torch"},
                                          std::tuple{"base.bnb", 32, "paged_adamw_32bit"},
                                          std::tuple{"nf4.torch", 4, "adamw_torch_fused"}}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    RunConfig config = test::golden_run(folder.path());
    config.bits = bits;
    config.optim = optim;
    const Json& expected = golden.at("runs").at(name);
    const auto golden_value = [&](const char* key, int64_t step) {
      return expected.at(key).items()[step].as_double();
    };
    int64_t n_steps = 0;
    run(config, {.on_step = [&](const StepMetrics& m) {
          CAPTURE(m.step);
          const double allowed = test::tolerance(test::Result::kModel, 1e-4);
          CHECK(m.loss == doctest::Approx(golden_value("loss", m.step - 1)).epsilon(allowed));
          CHECK(m.grad_norm ==
                doctest::Approx(golden_value("grad_norm", m.step - 1)).epsilon(allowed));
          CHECK(m.learning_rate ==
                doctest::Approx(golden_value("learning_rate", m.step - 1)).epsilon(1e-6));
          CHECK(m.n_labels == static_cast<int64_t>(golden_value("n_labels", m.step - 1)));
          ++n_steps;
        }});
    CHECK(n_steps == 10);
    const SafetensorsFile final_golden(
        test::golden_path(std::string("bert/") + name + ".final.safetensors"));
    const SafetensorsFile ours(folder.path() + "/adapter_model.safetensors");
    REQUIRE(ours.tensors().size() == final_golden.tensors().size());
    for (const auto& [tensor, value] : final_golden.tensors()) {
      CAPTURE(tensor);
      if (!test::on_gpu()) {
        CHECK(test::max_difference(test::golden_tensor(ours, tensor), value.to_f32()) < 5e-7);
      } else if (test::compute_type() == DType::kF32) {
        CHECK(test::max_difference(test::golden_tensor(ours, tensor), value.to_f32()) < 5e-6);
      }
    }
  }
}

TEST_CASE("trainer: the same run twice, on any threads and instruction set, gives the same bytes") {
  const TemporaryFolder folder;
  const RunConfig config = random_run(folder, "first");
  run(config);
  const std::string expected = adapter_bytes(config.output_dir);
  for (const int threads : {1, 2, 4}) {
    RunConfig again = random_run(folder, "threads" + std::to_string(threads));
    again.threads = threads;
    run(again);
    CHECK(adapter_bytes(again.output_dir) == expected);
  }
  int n_isas = 0;
  for (const cpu::Isa isa :
       {cpu::Isa::kScalar, cpu::Isa::kAvx2, cpu::Isa::kAvx512, cpu::Isa::kNeon}) {
    if (!cpu::isa_supported(isa)) continue;
    const cpu::ScopedIsa forced(isa);
    RunConfig again = random_run(folder, "isa" + std::string(cpu::isa_name(isa)));
    run(again);
    CHECK(cpu::running_isa_name() == cpu::isa_name(isa));
    CHECK(adapter_bytes(again.output_dir) == expected);
    ++n_isas;
  }
  CHECK(n_isas >= 1);
  RunConfig other_seed = random_run(folder, "seed");
  other_seed.seed = 43;
  run(other_seed);
  CHECK(adapter_bytes(other_seed.output_dir) != expected);
}

DEVICE_TEST_CASE("trainer: the same run twice gives the same bytes") {
  const TemporaryFolder folder;
  const RunConfig first = random_run(folder, "first");
  const RunConfig second = random_run(folder, "second");
  run(first);
  run(second);
  CHECK(adapter_bytes(first.output_dir) == adapter_bytes(second.output_dir));
}

DEVICE_TEST_CASE("trainer: gradient checkpointing gives the same bytes") {
  const TemporaryFolder folder;
  RunConfig plain = random_run(folder, "plain");
  RunConfig checkpointed = random_run(folder, "checkpointed");
  checkpointed.gradient_checkpointing = true;
  run(plain);
  run(checkpointed);
  CHECK(adapter_bytes(plain.output_dir) == adapter_bytes(checkpointed.output_dir));
}

DEVICE_TEST_CASE("trainer: stopping at any step and resuming gives the bytes of never stopping") {
  const TemporaryFolder folder;
  const RunConfig whole = random_run(folder, "whole");
  run(whole);
  const auto losses_of = [](const std::string& output_dir) {
    const Json state = Json::parse_file(output_dir + "/trainer_state.json");
    return state.at("log_history").dump();
  };
  for (int64_t stop_at = 1; stop_at < whole.max_steps; ++stop_at) {
    CAPTURE(stop_at);
    const RunConfig config = random_run(folder, "stopped" + std::to_string(stop_at));
    std::atomic<bool> stop = false;
    const TrainResult first =
        run(config,
            {.on_step = [&](const StepMetrics& m) { stop = m.step == stop_at; }, .stop = &stop});
    CHECK(first.stopped);
    CHECK(first.steps == stop_at);
    const TrainResult second = run(config);
    CHECK(second.first_step == stop_at);
    CHECK(second.steps == whole.max_steps);
    CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
    CHECK(losses_of(config.output_dir) == losses_of(whole.output_dir));
  }
}

DEVICE_TEST_CASE("trainer: with timed products a resume gives the bytes of the run that went on") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.deterministic = false;
    config.save_strategy = "steps";
    config.save_steps = 4;
    return config;
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  const std::string checkpoint = whole.output_dir + "/checkpoint-4";
  const auto warnings_of = [&](const std::string& name, const std::string& resumed) {
    RunConfig config = config_of(name);
    config.resume = resumed;
    std::string warnings;
    const Log log([&](LogLevel level, const std::string& line) {
      if (level == LogLevel::kWarning) warnings += line + "\n";
    });
    Trainer trainer(config, Trainer::Task::kTrain, false, log);
    CHECK(trainer.train({}).first_step == 4);
    if (resumed == checkpoint) {
      CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
    }
    return warnings;
  };
  CHECK(warnings_of("resumed", checkpoint) == "");

  // The same with choices of elsewhere, and on a GPU also with none.
  const std::string other = folder.path() + "/other";
  std::filesystem::copy(checkpoint, other);
  Json state = Json::parse_file(other + "/trainer_state.json");
  Json ours = state.at("qlora_engine");
  const std::string choices = ours.at("kernel_choices").as_string();
  CHECK(choices.empty() == !test::on_gpu());
  const auto with = [&](const std::string& text) {
    ours.set("kernel_choices", text);
    state.set("qlora_engine", ours);
    folder.write("other/trainer_state.json", state.dump(2));
    return warnings_of("other" + std::to_string(text.size()), other);
  };
  const std::string refusal = "resume is not bit-exact here: ";
  CHECK(with("another library\n" + choices).find(refusal) == 0);
  CHECK((with("").find(refusal) == 0) == test::on_gpu());
}

TEST_CASE("trainer: a checkpoint of other settings or data is refused by name") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "out");
  config.max_steps = 2;
  config.save_strategy = "steps";
  config.save_steps = 1;
  config.save_total_limit = 1;
  run(config);
  CHECK(newest_checkpoint(config.output_dir) == config.output_dir + "/checkpoint-2");
  CHECK_FALSE(std::filesystem::exists(config.output_dir + "/checkpoint-1"));
  RunConfig other = config;
  other.learning_rate = 1.0;
  CHECK(error_of([&] { run(other); }).find("learning_rate") != std::string::npos);
  other = config;
  other.train_file = folder.write("other.txt", "the king of france\n");
  CHECK(error_of([&] { run(other); }).find("train_data_hash") != std::string::npos);
  other = config;
  other.resume = "no";
  CHECK(run(other).first_step == 0);
  CHECK(run(config).first_step == 2);
}

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

TEST_CASE("trainer: accumulation 1x6, 2x3 and 3x2 give the same update within fp32 rounding") {
  const TemporaryFolder folder;
  std::vector<std::vector<float>> results;
  for (const auto& [batch, accumulation] : {std::pair{6, 1}, std::pair{3, 2}, std::pair{2, 3}}) {
    RunConfig config = random_run(folder, "accumulation" + std::to_string(batch));
    config.per_device_train_batch_size = batch;
    config.gradient_accumulation_steps = accumulation;
    config.max_steps = 1;
    config.warmup_steps = 0;
    std::vector<float> gradients;
    Trainer trainer(config, Trainer::Task::kTrain, false, Log());
    trainer.train({});
    gradients.assign(trainer.adapter()->gradients().begin(), trainer.adapter()->gradients().end());
    results.push_back(gradients);
  }
  CHECK(test::relative_error(results[1], results[0]) < 1e-5);
  CHECK(test::relative_error(results[2], results[0]) < 1e-5);
  CHECK(test::relative_error(results[0], std::vector<float>(results[0].size(), 0.0f)) > 0.0);
}

TEST_CASE("trainer: loss_norm microbatch weighs micro-batches alike") {
  const TemporaryFolder folder;
  const auto gradients_of = [&](const std::string& norm, int64_t first, int64_t n, double* loss) {
    RunConfig config = random_run(folder, "norm");
    config.resume = "no";
    config.loss_norm = norm;
    config.lora_dropout = 0.0;
    config.train_sampling_strategy = "sequential";
    config.gradient_accumulation_steps = n;
    config.per_device_train_batch_size = 4;
    config.max_steps = 1;
    config.max_grad_norm = 0;
    Trainer trainer(config, Trainer::Task::kTrain, false, Log());
    trainer.train({.on_step = [&](const StepMetrics& m) { *loss = m.loss; },
                   .load_update =
                       [&](int64_t, std::vector<PackedBatch>& batches) {
                         // Micro-batch i has i + 1 labels.
                         for (int64_t i = 0; i < n; ++i) {
                           batches[i].clear();
                           std::vector<int32_t> ids(10, 20), labels(10, kNoLabel);
                           for (int64_t j = 0; j <= first + i; ++j)
                             labels[2 + j] = 30 + static_cast<int32_t>(j);
                           batches[i].append(trainer.model().config,
                                             static_cast<uint32_t>(first + i), ids, {}, labels);
                         }
                         return n;
                       }});
    return std::vector<float>(trainer.adapter()->gradients().begin(),
                              trainer.adapter()->gradients().end());
  };
  double loss_both = 0, loss_token = 0, loss_a = 0, loss_b = 0;
  const std::vector<float> both = gradients_of("microbatch", 0, 2, &loss_both);
  const std::vector<float> token = gradients_of("token", 0, 2, &loss_token);
  const std::vector<float> a = gradients_of("microbatch", 0, 1, &loss_a);
  const std::vector<float> b = gradients_of("token", 1, 1, &loss_b);
  std::vector<float> mean(a.size()), weighted(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    mean[i] = (a[i] + b[i]) / 2;
    weighted[i] = (a[i] + 2 * b[i]) / 3;
  }
  CHECK(test::relative_error(both, mean) < 1e-5);
  CHECK(test::relative_error(token, weighted) < 1e-5);
  CHECK(test::relative_error(both, token) > 1e-3);
  CHECK(loss_both == doctest::Approx((loss_a + loss_b) / 2).epsilon(1e-6));
  CHECK(loss_token == doctest::Approx((loss_a + 2 * loss_b) / 3).epsilon(1e-6));
}

TEST_CASE("trainer: losses of training and evaluation are linear in label smoothing") {
  const TemporaryFolder folder;
  double evaluation[3], training[3];
  for (int i = 0; i < 3; ++i) {
    RunConfig config = random_run(folder, "smooth" + std::to_string(i));
    config.label_smoothing_factor = 0.2 * i;
    config.max_steps = 1;
    evaluation[i] = Trainer(config, Trainer::Task::kEvaluate, false, Log()).evaluate().loss;
    run(config, {.on_step = [&](const StepMetrics& m) { training[i] = m.loss; }});
  }
  for (const double* losses : {evaluation, training}) {
    CHECK(std::abs(losses[1] - losses[0]) > 1e-3);
    CHECK(losses[2] - losses[1] == doctest::Approx(losses[1] - losses[0]).epsilon(1e-4));
  }
}

TEST_CASE("trainer: reduce_lr_on_plateau follows the evaluations, also after a resume") {
  const TemporaryFolder folder;
  const auto rates_of = [&](const RunConfig& config, const std::atomic<bool>* stop,
                            const std::function<void(const StepMetrics&)>& also) {
    std::vector<double> rates;
    run(config, {.on_step =
                     [&](const StepMetrics& m) {
                       rates.push_back(m.learning_rate);
                       also(m);
                     },
                 .stop = stop});
    return rates;
  };
  RunConfig config = random_run(folder, "plateau");
  config.lr_scheduler_type = "reduce_lr_on_plateau";
  // A threshold that no loss passes: every evaluation but the first is a bad one.
  config.lr_scheduler_kwargs = Json::parse(
      R"({"patience": 1, "factor": 0.5, "threshold": 1e9, "threshold_mode": "abs"})", "kwargs");
  config.eval_strategy = "steps";
  config.eval_steps = 2;
  config.max_eval_samples = 4;
  config.learning_rate = 0.01;
  const std::vector<double> whole = rates_of(config, nullptr, [](const StepMetrics&) {});
  REQUIRE(whole.size() == 14);
  CHECK(whole.front() == doctest::Approx(0.01));
  CHECK(whole.back() < 0.006);
  config.output_dir = folder.path() + "/plateau-stopped";
  std::atomic<bool> stop = false;
  std::vector<double> parts =
      rates_of(config, &stop, [&](const StepMetrics& m) { stop = m.step == 7; });
  const std::vector<double> rest = rates_of(config, nullptr, [](const StepMetrics&) {});
  parts.insert(parts.end(), rest.begin(), rest.end());
  CHECK(parts == whole);
}

TEST_CASE("trainer: data_seed changes the order only; it is part of a checkpoint") {
  const TemporaryFolder folder;
  const auto batches_of = [&](const std::string& name, std::optional<int64_t> data_seed) {
    RunConfig config = random_run(folder, name);
    config.data_seed = data_seed;
    config.max_steps = 2;
    config.save_strategy = "steps";
    std::vector<std::pair<std::vector<uint32_t>, std::vector<int32_t>>> batches;
    run(config, {.on_batch = [&](int64_t, int64_t, const PackedBatch& batch) {
          batches.push_back({batch.sample_ids, batch.token_ids});
        }});
    return batches;
  };
  CHECK(batches_of("none", {}) == batches_of("same", 42));
  CHECK(batches_of("none2", {}) != batches_of("other", 43));
  RunConfig config = random_run(folder, "other");
  config.max_steps = 2;
  CHECK(error_of([&] { run(config); }).find("data_seed = 43, now it is null") != std::string::npos);
}

TEST_CASE("trainer: whole words and grouped batches resume bit for bit") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.whole_word_mask = true;
    config.mask_replace_prob = 1;
    config.random_replace_prob = 0;
    config.train_sampling_strategy = "group_by_length";
    return config;
  };
  const RunConfig whole = config_of("whole");
  run(whole);
  const RunConfig config = config_of("stopped");
  std::atomic<bool> stop = false;
  run(config, {.on_step = [&](const StepMetrics& m) { stop = m.step == 13; }, .stop = &stop});
  CHECK(run(config).first_step == 13);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
  RunConfig other = config_of("other");
  other.wwm_compat = true;
  other.save_strategy = "steps";
  run(other);
  CHECK(error_of([&] {
          other.wwm_compat = false;
          run(other);
        }).find("wwm_compat = true, now it is false") != std::string::npos);
}

TEST_CASE(
    "trainer: the best checkpoint is kept, found again after a resume, and loaded at the end") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.eval_strategy = "steps";
    config.eval_steps = 2;
    config.save_strategy = "steps";
    config.save_steps = 2;
    config.save_total_limit = 2;
    config.load_best_model_at_end = true;
    config.greater_is_better = true;  // so that it is not simply the last one
    config.learning_rate = 0.02;
    config.lr_scheduler_type = "constant";
    return config;
  };
  const auto evaluations_of = [&](const RunConfig& config, const std::atomic<bool>* stop,
                                  std::atomic<bool>* set) {
    std::vector<std::pair<int64_t, double>> found;
    run(config, {.on_step =
                     [&](const StepMetrics& m) {
                       if (set) *set = m.step == 9;
                     },
                 .on_evaluation =
                     [&](const EvalMetrics& m) {
                       found.push_back({m.step, m.loss});
                     },
                 .stop = stop});
    return found;
  };
  const RunConfig config = config_of("best");
  const auto found = evaluations_of(config, nullptr, nullptr);
  REQUIRE(found.size() == 8);  // 7 and, with the best adapter, one more
  const auto best = std::max_element(found.begin(), found.end() - 1,
                                     [](auto a, auto b) { return a.second < b.second; });
  REQUIRE(best->first < 14);
  CHECK(found.back().second == best->second);
  const std::string checkpoint = config.output_dir + "/checkpoint-" + std::to_string(best->first);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(checkpoint));
  CHECK(std::filesystem::exists(config.output_dir + "/checkpoint-14"));
  int n_checkpoints = 0;
  for (const auto& entry : std::filesystem::directory_iterator(config.output_dir)) {
    n_checkpoints += entry.path().filename().string().starts_with("checkpoint-");
  }
  CHECK(n_checkpoints == 2);
  const Json state = Json::parse_file(config.output_dir + "/trainer_state.json");
  CHECK(state.at("best_metric").as_double() == best->second);
  CHECK(state.at("best_global_step").as_int() == best->first);
  CHECK(state.at("best_model_checkpoint").as_string() == checkpoint);
  CHECK(state.at("save_steps").as_int() == 2);
  CHECK(Json::parse_file(config.output_dir + "/eval_results.json").at("eval_loss").as_double() ==
        best->second);

  const RunConfig stopped = config_of("stopped");
  std::atomic<bool> stop = false;
  evaluations_of(stopped, &stop, &stop);
  evaluations_of(stopped, nullptr, nullptr);
  CHECK(adapter_bytes(stopped.output_dir) == adapter_bytes(config.output_dir));
}

TEST_CASE("trainer: save_strategy best writes a checkpoint when an evaluation is the best so far") {
  const TemporaryFolder folder;
  RunConfig config = random_run(folder, "best");
  config.eval_strategy = "steps";
  config.eval_steps = 2;
  config.save_strategy = "best";
  config.eval_on_start = true;
  config.learning_rate = 0.02;
  std::vector<double> losses;
  std::vector<int64_t> saved;
  run(config, {.on_evaluation = [&](const EvalMetrics& m) { losses.push_back(m.loss); },
               .on_checkpoint =
                   [&](const std::string& path) {
                     saved.push_back(std::stoll(path.substr(path.rfind('-') + 1)));
                   }});
  REQUIRE(losses.size() == 8);
  std::vector<int64_t> expected;
  double best = INFINITY;
  for (size_t i = 1; i < losses.size(); ++i) {  // the first, before any update, does not count
    if (losses[i] < best) expected.push_back(static_cast<int64_t>(2 * i));
    best = std::min(best, losses[i]);
  }
  CHECK(saved == expected);
  CHECK(expected.size() < 8);
}

TEST_CASE("trainer: embedding noise is on in training only, and independent of accumulation") {
  const TemporaryFolder folder;
  std::vector<std::vector<float>> results;
  std::vector<double> evaluations;
  for (const auto& [alpha, batch, accumulation] :
       {std::tuple{0.0, 6, 1}, std::tuple{5.0, 6, 1}, std::tuple{5.0, 2, 3}}) {
    RunConfig config = random_run(folder, "noise" + std::to_string(results.size()));
    config.neftune_noise_alpha = alpha;
    config.per_device_train_batch_size = batch;
    config.gradient_accumulation_steps = accumulation;
    config.max_steps = 1;
    Trainer trainer(config, Trainer::Task::kTrain, false, Log());
    trainer.train({});
    results.emplace_back(trainer.adapter()->gradients().begin(),
                         trainer.adapter()->gradients().end());
    evaluations.push_back(Trainer(config, Trainer::Task::kEvaluate, false, Log()).evaluate().loss);
  }
  CHECK(test::relative_error(results[1], results[0]) > 1e-3);
  CHECK(test::relative_error(results[2], results[1]) < 1e-5);
  CHECK(evaluations[0] == evaluations[1]);
}

DEVICE_TEST_CASE("trainer: 8-bit states resume bit for bit") {
  const TemporaryFolder folder;
  const auto config_of = [&](const std::string& name) {
    RunConfig config = random_run(folder, name);
    config.optim = "paged_adamw_8bit";
    config.lora_r = 64;  // the feed-forward's matrices have 80 * 64 values, the others fewer
    config.max_steps = 6;
    return config;
  };
  const RunConfig whole = config_of("whole8");
  run(whole);
  RunConfig other = config_of("other8");
  other.optim = "paged_adamw_32bit";
  run(other);
  CHECK(adapter_bytes(other.output_dir) != adapter_bytes(whole.output_dir));
  const RunConfig config = config_of("stopped8");
  std::atomic<bool> stop = false;
  run(config, {.on_step = [&](const StepMetrics& m) { stop = m.step == 4; }, .stop = &stop});
  const SafetensorsFile states(config.output_dir + "/checkpoint-4/optimizer.safetensors");
  const std::string up = "bert.encoder.layer.0.intermediate.dense.lora_B.weight.";
  CHECK(states.tensors().at(up + "exp_avg").dtype == DType::kU8);
  CHECK(states.tensors().at(up + "exp_avg_sq_scale").shape == std::vector<int64_t>{20});
  CHECK(
      states.tensors().at("bert.encoder.layer.0.intermediate.dense.lora_A.weight.exp_avg").dtype ==
      DType::kF32);
  CHECK(run(config).first_step == 4);
  CHECK(adapter_bytes(config.output_dir) == adapter_bytes(whole.output_dir));
}

DEVICE_TEST_CASE("trainer: evaluation does not depend on the batch size, and repeats") {
  const TemporaryFolder folder;
  std::vector<double> losses;
  for (const int64_t batch_size : {1, 4, 70}) {
    RunConfig config = random_run(folder, "evaluation");
    config.per_device_eval_batch_size = batch_size;
    Trainer trainer(config, Trainer::Task::kEvaluate, false, Log());
    const EvalMetrics metrics = trainer.evaluate();
    CHECK(metrics.n_samples == 70);
    CHECK(metrics.n_labels > 50);
    CHECK(trainer.evaluate().loss == metrics.loss);
    losses.push_back(metrics.loss);
  }
  const double allowed = test::tolerance(test::Result::kLoss, 1e-12);
  CHECK(losses[1] == doctest::Approx(losses[0]).epsilon(allowed));
  CHECK(losses[2] == doctest::Approx(losses[0]).epsilon(allowed));
}

TEST_CASE("trainer: a dump of the batches reads back equal and replays to the same adapter") {
  const TemporaryFolder folder;
  const RunConfig config = random_run(folder, "dumped");
  const std::string dump = folder.path() + "/batches.jsonl";
  std::vector<PackedBatch> seen;
  {
    BatchDumpWriter writer(dump);
    run(config, {.on_batch = [&](int64_t step, int64_t micro_step, const PackedBatch& batch) {
          writer.write(step, micro_step, batch);
          seen.push_back(batch);
        }});
  }
  const auto steps = read_batch_dump(dump, read_encoder_config(config.model_name_or_path));
  REQUIRE(static_cast<int64_t>(steps.size()) == config.max_steps);
  size_t i = 0;
  for (const auto& step : steps) {
    for (const PackedBatch& batch : step) {
      REQUIRE(i < seen.size());
      CHECK(batch.token_ids == seen[i].token_ids);
      CHECK(batch.type_ids == seen[i].type_ids);
      CHECK(batch.position_ids == seen[i].position_ids);
      CHECK(batch.cu_seqlens == seen[i].cu_seqlens);
      CHECK(batch.row_samples == seen[i].row_samples);
      CHECK(batch.label_rows == seen[i].label_rows);
      CHECK(batch.labels == seen[i].labels);
      ++i;
    }
  }
  CHECK(i == seen.size());
  const RunConfig again = random_run(folder, "replayed");
  const BatchReplay replay(dump, read_encoder_config(config.model_name_or_path));
  run(again, {.load_update = [&](int64_t step, std::vector<PackedBatch>& batches) {
        return replay.load_update(step, batches);
      }});
  CHECK(adapter_bytes(again.output_dir) == adapter_bytes(config.output_dir));
}

TEST_CASE("trainer: settings that cannot work are one clear error") {
  const TemporaryFolder folder;
  const auto error_with = [&](const std::function<void(RunConfig&)>& change) {
    RunConfig config = random_run(folder, "errors");
    change(config);
    return error_of([&] { Trainer(config, Trainer::Task::kTrain, false, Log()); });
  };
  CHECK(error_with([](RunConfig&) {}) == "");
  CHECK(error_with([](RunConfig& c) {
          c.max_seq_length = 65;
        }).find("max_seq_length: 65 exceeds the 64 positions") != std::string::npos);
  CHECK(error_with([&](RunConfig& c) {
          c.train_file = folder.write("empty.txt", "");
        }).find("empty.txt") != std::string::npos);
  CHECK(error_with([&](RunConfig& c) {
          c.train_file = folder.write("blank.txt", " \n\n");
        }).find("blank.txt") != std::string::npos);
  CHECK(error_with([&](RunConfig& c) {
          c.line_by_line = false;
          c.train_file = folder.write("short.txt", "the king\n");
        }).find("less than max_seq_length") != std::string::npos);
  CHECK(error_with([&](RunConfig& c) {
          c.target_modules = Json::array({"q_proj"});
        }).find("q_proj") != std::string::npos);
  CHECK(error_with([&](RunConfig& c) {
          c.train_file = folder.write("ids.jsonl", R"({"input_ids": [2, 160, 3]})");
        }).find("ids.jsonl:1: token id 160") != std::string::npos);
}

}  // namespace qe
