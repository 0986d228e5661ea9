// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <optional>

#include "formats/named_shapes.h"
#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "kernels/ops/backend.h"
#include "tools/bench_data.h"
#include "tools/bench_model.h"
#include "tools/bench_ops.h"
#include "tools/bench_tokenize.h"
#include "tools/commands.h"
#include "tools/progress.h"
#include "tools/run_report.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

using Clock = std::chrono::steady_clock;

/// Seconds of the timed steps.
struct Timing {
  double median = 0, lowest = 0, highest = 0;
};

/// Times the steps of a loop: on the CPU each call, on a GPU by events from the end of one step to
/// the end of the next, so that what the host does between them counts.
class StepClock {
 public:
  explicit StepClock(const Context& ctx) : stream_(ctx.stream) {
    if (ctx.device.kind == DeviceKind::kCpu) return;
    points_.emplace(ctx.device.index);
    points_->ends[1].record(stream_);
  }
  void begin() {
    if (points_) points_->begin.record(stream_);
    start_ = Clock::now();
  }
  void end() {
    if (!points_) {
      seconds = std::chrono::duration<double>(Clock::now() - start_).count();
      return;
    }
    cuda::Event& now = points_->ends[n_ % 2];
    const cuda::Event& before = points_->ends[(n_ + 1) % 2];
    now.record(stream_);
    now.wait();
    seconds = 1e-3 * now.milliseconds_since(before);
    gap = 1e-3 * points_->begin.milliseconds_since(before);
    ++n_;
  }
  /// Of the last step.
  double seconds = 0;
  double gap = 0;  ///< part of it that the GPU waited for the host to begin

 private:
  struct Points {
    explicit Points(int device)
        : begin(device, true), ends{cuda::Event(device, true), cuda::Event(device, true)} {}
    cuda::Event begin, ends[2];
  };
  void* stream_;
  std::optional<Points> points_;
  Clock::time_point start_;
  int64_t n_ = 0;
};

Timing timing_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const size_t n = seconds.size();
  return {(seconds[(n - 1) / 2] + seconds[n / 2]) / 2, seconds.front(), seconds.back()};
}

// The process's own high-water mark of resident memory. getrusage would also count what the parent
// held before it started this program.
int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

/// What one `bench train` or `bench infer` found.
struct StepReport {
  std::string task, shape, backend;
  BenchWork work;
  int threads = 1;
  Timing timing;
  double gap = 0;            ///< median time of a step that a GPU waited for the host
  double setup_seconds = 0;  ///< weights, memory, plans
  BenchFloor floor;
  Ceilings ceilings;
  int64_t planned_bytes = 0, peak_resident_bytes = 0;
  Device device;
  DType compute = DType::kF32;
  int64_t device_planned_bytes = 0;  ///< of planned_bytes, on the GPU
  int64_t device_used_bytes = 0;     ///< of the GPU, after the last step, by whomever
  std::string device_use;            ///< both, for people
  std::vector<MemoryRow> memory;

  double floor_seconds() const {
    return std::max(floor.flops / (1e9 * ceilings.gflops),
                    floor.bytes / (1e9 * ceilings.copy_gbytes));
  }
  double tokens_per_second() const { return static_cast<double>(work.n_tokens()) / timing.median; }
  double gflops() const { return 1e-9 * floor.flops / timing.median; }
};

Json to_json(const StepReport& r) {
  return Json::object({{"task", r.task},
                       {"shape", r.shape},
                       {"backend", r.backend},
                       {"threads", r.threads},
                       {"sequences", r.work.sequences},
                       {"length", r.work.length},
                       {"labels", r.work.n_labels},
                       {"lora_r", r.work.lora_r},
                       {"bits", r.work.bits},
                       {"seconds", Json::object({{"median", r.timing.median},
                                                 {"min", r.timing.lowest},
                                                 {"max", r.timing.highest},
                                                 {"gpu_waits", r.gap}})},
                       {"setup_seconds", r.setup_seconds},
                       {"tokens_per_second", r.tokens_per_second()},
                       {"gflops", r.gflops()},
                       {"floor", Json::object({{"seconds", r.floor_seconds()},
                                               {"flops", r.floor.flops},
                                               {"bytes", r.floor.bytes},
                                               {"peak_gflops", r.ceilings.gflops},
                                               {"copy_gbytes", r.ceilings.copy_gbytes}})},
                       {"device", device_name(r.device)},
                       {"compute_dtype", std::string(dtype_name(r.compute))},
                       {"memory", Json::object({{"planned", r.planned_bytes},
                                                {"device_planned", r.device_planned_bytes},
                                                {"device_used", r.device_used_bytes},
                                                {"peak_resident", r.peak_resident_bytes}})}});
}

std::string text_of(const StepReport& r) {
  const auto milliseconds = [](double seconds) { return fixed(seconds * 1e3, 2) + " ms"; };
  Table table("ll");
  table.add({"model", cat(r.shape, ", random weights in ", r.work.bits, " bits, LoRA rank ",
                          r.work.lora_r)});
  const std::string machine =
      r.device.kind == DeviceKind::kCuda
          ? cat(device_name(r.device), ", ", r.backend, ", computes in ", dtype_name(r.compute))
          : cat("CPU, ", r.threads, r.threads == 1 ? " thread, " : " threads, ", r.backend);
  table.add({"machine", cat(machine, ": ", fixed(r.ceilings.gflops, 0), " GFLOP/s, copies ",
                            fixed(r.ceilings.copy_gbytes, 1), " GB/s")});
  table.add({"step", cat(r.work.sequences, " sequences of ", r.work.length, " tokens, ",
                         r.work.n_labels, " labelled")});
  const bool on_gpu = r.device.kind == DeviceKind::kCuda;
  const std::string waits =
      on_gpu ? cat("; between steps the GPU waits ", milliseconds(r.gap)) : std::string();
  table.add({"time", cat(milliseconds(r.timing.median), " (", milliseconds(r.timing.lowest), " to ",
                         milliseconds(r.timing.highest), ")", waits)});
  table.add({"speed", cat(fixed(r.tokens_per_second(), 0), " tokens/s, ",
                          on_gpu ? fixed(1e-3 * r.gflops(), 1) + " TFLOP/s"
                                 : fixed(r.gflops(), 1) + " GFLOP/s")});
  table.add({"set up in", cat(fixed(r.setup_seconds, 1), " s")});
  table.add({"floor", cat(milliseconds(r.floor_seconds()), ": the step runs at ",
                          fixed(100 * r.floor_seconds() / r.timing.median, 0), " % of it")});
  table.add({"memory", cat("planned ", human_bytes(static_cast<uint64_t>(r.planned_bytes)),
                           ", peak of the process ",
                           human_bytes(static_cast<uint64_t>(r.peak_resident_bytes)))});
  if (r.device.kind == DeviceKind::kCuda) {
    table.add({"GPU memory", r.device_use});
  }
  return table.text() + "\n" + memory_text(r.memory, r.device);
}

EncoderConfig shape_option(const Arguments& arguments, std::string& name) {
  name = arguments.text("shape", "bert-base");
  try {
    return named_encoder_config(name);
  } catch (const Error& error) {
    throw UsageError(cat("--shape: ", error.what()));
  }
}

int threads_option(const Arguments& arguments) {
  return static_cast<int>(arguments.integer("threads", 0, 0, 4096));
}

int run_steps(const Arguments& arguments, bool training) {
  constexpr int64_t kMany = int64_t{1} << 30;
  StepReport report{.task = training ? "train" : "infer"};
  const EncoderConfig config = shape_option(arguments, report.shape);
  report.work.sequences = arguments.integer("sequences", training ? 8 : 1, 1, kMany);
  report.work.length = arguments.integer("length", training ? 128 : 16, 1, config.max_length());
  report.work.lora_r = arguments.integer("lora_r", training ? 16 : 0, training ? 1 : 0, 4096);
  report.work.bits = arguments.integer("bits", 4, 4, 32);
  if (report.work.bits != 4 && report.work.bits != 32) throw UsageError("--bits: expected 4 or 32");
  report.work.training = training;
  report.work.recompute = arguments.has("gradient_checkpointing");
  const std::string device = arguments.text("device", "auto");
  const bool on_gpu = find_device(device, false).kind == DeviceKind::kCuda;
  const int64_t n_steps = arguments.integer("steps", training ? (on_gpu ? 20 : 5) : 50, 1, kMany);
  const int64_t n_warmup = arguments.integer("warmup", training ? (on_gpu ? 3 : 1) : 5, 0, kMany);

  Progress progress;
  const std::string resident = arguments.text("resident_weights", "true");
  if (resident != "true" && resident != "false") {
    throw UsageError("--resident_weights: expected true or false");
  }
  const std::string optim =
      read_run_config("", {{"optim", arguments.text("optim", "adamw_torch")}}).optim;
  const Clock::time_point start = Clock::now();
  BenchModel model(config, report.work,
                   {.device = device,
                    .optim = optim,
                    .compute_dtype = arguments.text("compute_dtype", "auto"),
                    .threads = threads_option(arguments),
                    .resident_weights = resident == "true"});
  Context& ctx = model.context();
  report.setup_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::vector<double> seconds, gaps;
  StepClock clock(ctx);
  for (int64_t i = 0; i < n_warmup + n_steps; ++i) {
    progress.bar("steps", i, n_warmup + n_steps, "");
    clock.begin();
    model.step();
    clock.end();
    if (i < n_warmup) continue;
    seconds.push_back(clock.seconds);
    gaps.push_back(clock.gap);
  }
  progress.clear();
  report.gap = timing_of(std::move(gaps)).median;
  report.threads = ctx.threads->n_threads();
  report.backend = backend_name(ctx.device);
  report.timing = timing_of(std::move(seconds));
  report.floor = bench_floor(config, report.work, ctx.compute);
  report.memory = model.memory();
  for (const MemoryRow& row : report.memory) {
    report.planned_bytes += static_cast<int64_t>(row.n_bytes);
  }
  report.peak_resident_bytes = peak_resident_bytes();
  report.device = ctx.device;
  report.compute = ctx.compute;
  if (ctx.device.kind == DeviceKind::kCuda) {
    const cuda::DeviceInfo info = cuda::device_info(ctx.device.index);
    report.device_used_bytes = static_cast<int64_t>(info.total_bytes - info.free_bytes);
    report.device_planned_bytes = static_cast<int64_t>(device_bytes(report.memory, ctx.device));
    report.device_use = device_use_text(report.memory, ctx.device);
  }
  report.ceilings = measure_ceilings(ctx);  // after the peak was read: it takes memory
  std::cout << (arguments.has("json") ? to_json(report).dump() + "\n" : text_of(report));
  return 0;
}

std::string share(double part, double whole) { return fixed(100 * part / whole, 0) + " %"; }

void print_rate(const OpRate& r) {
  const double work = r.bound_by_flops ? r.flops : r.bytes;
  std::string line = r.op + std::string(r.op.size() < 29 ? 29 - r.op.size() : 1, ' ') + r.shape;
  line += std::string(line.size() < 50 ? 50 - line.size() : 1, ' ');
  const auto right = [&](const std::string& cell, size_t width) {
    line += std::string(cell.size() < width ? width - cell.size() : 0, ' ') + cell;
  };
  right(fixed(r.time.typical * 1e6, 1) + " us", 13);
  right(fixed(1e-9 * work / r.time.typical, 1) + (r.bound_by_flops ? " GFLOP/s" : " GB/s"), 18);
  right(share(r.floor_seconds, r.time.typical), 7);
  if (r.time.opponent > 0)
    right(share(r.time.opponent, r.time.typical) + " of the BLAS's speed", 28);
  std::cout << line << std::endl;
}

Json to_json(const OpRate& r) {
  const double work = r.bound_by_flops ? r.flops : r.bytes;
  Json json = Json::object({{"op", r.op},
                            {"shape", r.shape},
                            {"seconds", r.time.typical},
                            {"min", r.time.lowest},
                            {"max", r.time.highest},
                            {r.bound_by_flops ? "gflops" : "gbytes", 1e-9 * work / r.time.typical},
                            {"of_ceiling", r.floor_seconds / r.time.typical}});
  if (r.time.opponent > 0) json.set("of_blas", r.time.opponent / r.time.typical);
  return json;
}

// The head of a list of rates.
std::string machine_text(const std::string& shape, const Context& ctx, const Ceilings& ceilings) {
  const std::string machine =
      ctx.device.kind == DeviceKind::kCpu
          ? cat(ctx.threads->n_threads(), " thread(s), ", backend_name(ctx.device))
          : cat(device_name(ctx.device), ", ", backend_name(ctx.device), ", ",
                dtype_name(ctx.compute));
  return cat(shape, ", ", machine, ": ", fixed(ceilings.gflops, 1), " GFLOP/s, copies ",
             fixed(ceilings.copy_gbytes, 1), " GB/s\n");
}

Json machine_json(const std::string& shape, const Context& ctx, const Ceilings& ceilings) {
  return Json::object({{"shape", shape},
                       {"device", device_name(ctx.device)},
                       {"backend", backend_name(ctx.device)},
                       {"compute_dtype", std::string(dtype_name(ctx.compute))},
                       {"threads", ctx.threads->n_threads()},
                       {"peak_gflops", ceilings.gflops},
                       {"copy_gbytes", ceilings.copy_gbytes}});
}

int run_ops(const Arguments& arguments) {
  std::string shape;
  const EncoderConfig config = shape_option(arguments, shape);
  BenchOpsOptions options;
  options.timer = {
      .device = arguments.text("device", "auto"),
      .compute_dtype = arguments.text("compute_dtype", "auto"),
      .threads = static_cast<int>(arguments.integer("threads", 1, 0, 4096)),
      .seconds = 1e-3 * static_cast<double>(arguments.integer("milliseconds", 200, 1, 60000))};
  options.length = arguments.integer("length", 128, 1, config.max_length());
  options.tokens = options.length * arguments.integer("sequences", 8, 1, 1 << 20);
  options.lora_r = arguments.integer("lora_r", 16, 1, 4096);
  options.only = arguments.text("only");
  options.blas = arguments.text("blas");
  const bool as_json = arguments.has("json");
  bench_ops(
      config, options,
      [&](const Context& ctx, const Ceilings& ceilings, const std::string& blas) {
        if (as_json) {
          std::cout << machine_json(shape, ctx, ceilings).dump() << std::endl;
          return;
        }
        std::cout << machine_text(shape, ctx, ceilings);
        if (!blas.empty()) std::cout << "BLAS: " << blas << "\n";
      },
      [&](const OpRate& rate) {
        if (as_json) {
          std::cout << to_json(rate).dump() << std::endl;
        } else {
          print_rate(rate);
        }
      });
  return 0;
}

int run_tokenize(const Arguments& arguments) {
  BenchTokenizeOptions options;
  options.model = arguments.text("model");
  options.text = arguments.text("text");
  if (options.model.empty() || options.text.empty())
    throw UsageError("bench tokenize needs --model DIR and --text FILE");
  options.threads = threads_option(arguments);
  options.rounds = arguments.integer("steps", 5, 1, 1 << 20);
  options.warmup = arguments.integer("warmup", 1, 0, 1 << 20);
  const TokenizeReport report = bench_tokenize(options);
  std::cout << (arguments.has("json") ? to_json(report).dump() + "\n" : text_of(report));
  return 0;
}

int run_data(const Arguments& arguments) {
  BenchDataOptions options;
  options.model = arguments.text("model");
  options.text = arguments.text("text");
  if (options.model.empty() || options.text.empty())
    throw UsageError("bench data needs --model DIR and --text FILE");
  options.length = arguments.integer("length", 128, 1, 1 << 20);
  options.sequences = arguments.integer("sequences", 32, 1, 1 << 20);
  options.rounds = arguments.integer("steps", 5, 1, 1 << 20);
  options.warmup = arguments.integer("warmup", 1, 0, 1 << 20);
  const DataReport report = bench_data(options);
  std::cout << (arguments.has("json") ? to_json(report).dump() + "\n" : text_of(report));
  return 0;
}

int run_bench(const Arguments& arguments) {
  const std::string what = arguments.positionals.empty() ? "" : arguments.positionals[0];
  if (what == "train") return run_steps(arguments, true);
  if (what == "infer") return run_steps(arguments, false);
  if (what == "ops") return run_ops(arguments);
  if (what == "tokenize") return run_tokenize(arguments);
  if (what == "data") return run_data(arguments);
  throw UsageError(
      cat("bench what? expected train, infer, ops, tokenize or data, got \"", what, "\""));
}

}  // namespace

Command bench_command() {
  return {
      .name = "bench",
      .summary =
          "speed and memory of training, inference, tokenizing, batches and each kernel on this "
          "machine",
      .positionals = "train|infer|ops|tokenize|data",
      .max_positionals = 1,
      .takes_settings = false,
      .description =
          "Times a model of a well-known size with random weights (no folder is needed):\n"
          "  train  whole updates: forward, backward, clipping, AdamW; 15 % of the tokens "
          "labelled\n"
          "  infer  fill-mask: forward, one mask per sequence, its 5 best answers\n"
          "  ops    each kernel on that model's shapes\n"
          "beside a floor: the operations that the step cannot do without at the rate of\n"
          "independent fused multiply-adds, or its weights at the rate of copying, both measured\n"
          "here. Rows are full; dropout is the model's own.\n"
          "  tokenize  the rows of a text file, each with special tokens, offsets and word ids, "
          "with\n"
          "            one thread and with --threads, in turns\n"
          "  data      mapped tokens of a text file to shuffled, masked, packed batches: single\n"
          "            tokens, whole words and spans, made ahead on one thread",
      .options =
          {{"shape", "NAME",
            "bert-base (default), bert-large, xlm-roberta-base, -large, -xl, -xxl, "
            "modernbert-base, -large, esm2-650m, -3b, -15b: BERT with those sizes"},
           {"sequences", "N", "sequences of a step (8; infer: 1; data: 32)"},
           {"length", "N", "tokens of each (128; infer: 16)"},
           {"lora_r", "N", "rank of the adapters on every linear layer (16; infer: 0, none)"},
           {"bits", "N", "of the base: 4 (default) or 32"},
           {"gradient_checkpointing", nullptr, "train: compute layers again in the backward pass"},
           {"device", "NAME", "auto, cpu, cuda or cuda:N (auto)"},
           {"resident_weights", "true|false", "a GPU also holds 4-bit weights decoded (true)"},
           {"compute_dtype", "TYPE", "what a GPU computes in: auto, fp32, bf16, fp16 (auto)"},
           {"model", "DIR", "tokenize, data: folder of the tokenizer (data: and of its model)"},
           {"text", "FILE", "tokenize, data: .txt, .jsonl, .csv or .tsv, also .gz or .zst"},
           {"threads", "N", "CPU threads; 0 = all (default; ops: 1)"},
           {"optim", "NAME", "train: run_config's optim (adamw_torch)"},
           {"steps", "N", "timed steps (5; on a GPU 20; infer: 50), rounds of tokenize and data"},
           {"warmup", "N", "steps before them (1; on a GPU 3; infer: 5)"},
           {"milliseconds", "N", "ops: of each measurement (200)"},
           {"only", "TEXT", "ops: those with this in their name"},
           {"blas", "FILE", "ops: compare the CPU's dense products with this CBLAS library"},
           {"json", nullptr, "print one JSON object (ops: one a line) instead"}},
      .example = "qlora-engine bench train --shape bert-base --threads 2",
      .run = run_bench};
}

}  // namespace qe::tools
