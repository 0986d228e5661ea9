// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The numbers of whole training runs: against transformers and peft, and against themselves
// (threads, instruction sets, accumulation).
#include "engine/train/trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/train/batch_dump.h"
#include "kernels/cpu/isa.h"
#include "tests/support/op_context.h"
#include "tests/support/random_run.h"

namespace qe {

using test::adapter_bytes, test::random_run, test::run;

namespace {

// Whether two means are of the same losses. On the CPU a row's loss has the same bits in any batch,
// and a sum of fp32 in float64 is exact, so the same in any order, while its n terms are within a
// factor of 2^29 / n of each other.
bool same_mean(double found, double expected) {
  if (!test::on_gpu()) return found == expected;
  return std::abs(found - expected) <= test::tolerance(test::Result::kLoss, 0) * expected;
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

DEVICE_TEST_CASE("trainer: accumulation 1x8, 2x4 and 8x1 give the same updates within rounding") {
  const TemporaryFolder folder;
  std::vector<std::vector<float>> results;
  std::vector<std::vector<double>> losses;
  std::vector<std::vector<int64_t>> labels;
  for (const auto& [batch, accumulation] : {std::pair{8, 1}, std::pair{4, 2}, std::pair{1, 8}}) {
    RunConfig config = random_run(folder, "accumulation" + std::to_string(batch));
    config.per_device_train_batch_size = batch;
    config.gradient_accumulation_steps = accumulation;
    config.max_steps = 10;  // an epoch has 9, the last of them of 6 samples
    config.warmup_steps = 0;
    config.adam_epsilon = 1;  // so that updates follow small gradients, too, without their noise
    std::vector<double>& losses_of_run = losses.emplace_back();
    std::vector<int64_t>& labels_of_run = labels.emplace_back();
    run(config, {.on_step = [&](const StepMetrics& m) {
          losses_of_run.push_back(m.loss);
          labels_of_run.push_back(m.n_labels);
        }});
    // Every B was 0.
    std::vector<float>& result = results.emplace_back();
    const SafetensorsFile adapter(config.output_dir + "/adapter_model.safetensors");
    for (const auto& [name, tensor] : adapter.tensors()) {
      if (name.find("lora_B") == std::string::npos) continue;
      const std::vector<float> values = tensor.to_f32();
      result.insert(result.end(), values.begin(), values.end());
    }
  }
  REQUIRE(losses[0].size() == 10);
  CHECK(test::max_difference(results[0], std::vector<float>(results[0].size(), 0.0f)) > 1e-4);
  for (const size_t i : {1, 2}) {
    CHECK(labels[i] == labels[0]);
    CHECK(test::relative_error(results[i], results[0]) <
          test::tolerance(test::Result::kModelGradients, 1e-5));
    for (size_t step = 0; step < losses[0].size(); ++step) {
      const double allowed = test::tolerance(test::Result::kModel, 1e-6);
      CHECK(losses[i][step] == doctest::Approx(losses[0][step]).epsilon(allowed));
    }
  }
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
  CHECK(same_mean(losses[1], losses[0]));
  CHECK(same_mean(losses[2], losses[0]));
}

DEVICE_TEST_CASE("trainer: rows sorted by length, packed or one by one, have one loss") {
  const TemporaryFolder folder;
  test::Random random(5);
  std::vector<std::string> rows;
  for (int i = 0; i < 60; ++i) {
    Json ids = Json::array(), labels = Json::array();
    const int length = 2 + static_cast<int>(random.next() % 38);
    for (int t = 0; t < length; ++t) {
      const auto id = static_cast<int64_t>(5 + random.next() % 100);
      const bool labelled = t == 1 || random.next() % 4 == 0;
      ids.push_back(labelled && random.next() % 2 == 0 ? Json(int64_t{4}) : Json(id));
      labels.push_back(Json(labelled ? id : int64_t{kNoLabel}));
    }
    rows.push_back(Json::object({{"input_ids", ids}, {"labels", labels}}).dump() + "\n");
  }
  const auto evaluate = [&](const std::string& name, int64_t batch_size) {
    std::string text;
    for (const std::string& row : rows) text += row;
    RunConfig config = random_run(folder, "evaluation");
    config.validation_file = folder.write(name, text);
    config.per_device_eval_batch_size = batch_size;
    const EvalMetrics metrics = Trainer(config, Trainer::Task::kEvaluate, false, Log()).evaluate();
    CHECK(metrics.n_samples == 60);
    CHECK(metrics.n_labels > 200);
    return metrics;
  };
  const EvalMetrics as_given = evaluate("given.jsonl", 1);
  const auto check = [&](const EvalMetrics& metrics) {
    CHECK(same_mean(metrics.loss, as_given.loss));
    if (!test::on_gpu()) CHECK(metrics.accuracy == as_given.accuracy);
  };
  check(evaluate("given.jsonl", 7));
  check(evaluate("given.jsonl", 60));
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
  check(evaluate("sorted.jsonl", 1));
  check(evaluate("sorted.jsonl", 7));
  check(evaluate("sorted.jsonl", 60));
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
