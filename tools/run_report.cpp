// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/run_report.h"

#include <algorithm>

#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "tools/table.h"

namespace qe::tools {

RunConfig read_config(const Arguments& arguments, Progress& progress) {
  if (arguments.positionals.empty() && arguments.settings.empty())
    throw UsageError("a configuration file is missing");
  const std::string path = arguments.positionals.empty() ? "" : arguments.positionals[0];
  RunConfig config = read_run_config(path, arguments.settings);
  for (const std::string& note : config.notes) progress.line("note: " + note);
  return config;
}

namespace {

/// "1.2 %", "0.03 %".
std::string share(const RunSummary& summary) {
  const double percent = 100.0 * static_cast<double>(summary.n_trainable) /
                         static_cast<double>(std::max<int64_t>(summary.n_parameters, 1));
  return fixed(percent, percent < 1 ? 2 : 1) + " %";
}

/// Of all updates; within an update's tokens where the last epoch is not whole.
int64_t run_tokens(const RunSummary& summary) {
  return static_cast<int64_t>(static_cast<double>(summary.train_tokens) *
                              static_cast<double>(summary.total_steps) /
                              static_cast<double>(std::max<int64_t>(summary.updates_per_epoch, 1)));
}

std::string compute_text(DType type) {
  return type == DType::kBF16 ? "bf16" : type == DType::kF16 ? "fp16" : "fp32";
}

std::string update_text(const RunConfig& config) {
  const int64_t n = config.gradient_accumulation_steps;
  const int64_t n_tokens = config.per_device_train_batch_tokens;
  return n_tokens > 0 ? cat("up to ", human_count(n_tokens * n), " tokens")
                      : cat(config.per_device_train_batch_size * n, " sequences");
}

}  // namespace

std::string summary_text(const RunConfig& config, const RunSummary& summary) {
  Table table("ll");
  const std::string& in_folder = summary.stored_quantization;
  std::string stored =
      config.bits == 4 ? cat(config.quant_type, config.double_quant ? ", double quantization" : "")
                       : cat(config.bits, " bits");
  if (!in_folder.empty()) {
    stored = config.bits == 4 ? in_folder + ", as the folder holds them"
                              : cat(stored, ", decoded from the folder's ", in_folder);
  }
  table.add({"model", cat(config.model_name_or_path, ": ", human_count(summary.n_parameters),
                          " parameters, frozen, linear layers in ", stored)});
  if (summary.n_trainable > 0)
    table.add({"adapter", cat(human_count(summary.n_trainable), " parameters (", share(summary),
                              " of the base's) in ", summary.n_lora_modules, " modules (rank ",
                              config.lora_r, ", alpha ", config.lora_alpha, ")")});
  const auto data = [](int64_t samples, int64_t tokens) {
    return cat(human_count(samples), " sequences, ", human_count(tokens), " tokens");
  };
  if (summary.train_samples > 0)
    table.add({"training", data(summary.train_samples, summary.train_tokens)});
  if (summary.eval_samples > 0)
    table.add({"evaluation", data(summary.eval_samples, summary.eval_tokens)});
  if (summary.total_steps > 0)
    table.add({"run", cat(human_count(summary.total_steps), " updates of ", update_text(config),
                          ", ", human_count(run_tokens(summary)), " tokens in all; an epoch is ",
                          human_count(summary.updates_per_epoch), " updates")});
  const std::string machine =
      summary.device.kind == DeviceKind::kCpu
          ? cat("CPU, ", summary.threads, summary.threads == 1 ? " thread, " : " threads, ",
                summary.backend)
          : cat(device_name(summary.device), ", ", summary.backend);
  table.add({"machine", cat(machine, ", computes in ", compute_text(summary.compute))});
  return table.text();
}

std::string memory_text(const std::vector<MemoryRow>& rows, Device device) {
  const bool on_gpu = device.kind == DeviceKind::kCuda;
  Table table("lrr");
  const auto add = [&](const std::string& name, size_t n_bytes) {
    table.add({name, human_bytes(n_bytes), human_count(static_cast<int64_t>(n_bytes))});
  };
  size_t total = 0;
  for (const bool on_device : {true, false}) {  // a GPU's own memory first
    for (const MemoryRow& row : rows) {
      if ((device_bytes({row}, device) > 0) != on_device) continue;
      add(row.name, row.n_bytes);
      total += row.n_bytes;
    }
    if (on_gpu && on_device) {
      table.rule();
      add(cat("on ", device_name(device)), total);
      table.rule();
    }
  }
  if (!on_gpu) table.rule();
  add(on_gpu ? "in host memory" : "total", total - (on_gpu ? device_bytes(rows, device) : 0));
  return table.text(2);
}

std::string device_use_text(const std::vector<MemoryRow>& rows, Device device) {
  const cuda::DeviceInfo info = cuda::device_info(device.index);
  const auto planned = static_cast<double>(device_bytes(rows, device));
  const auto used = static_cast<double>(info.total_bytes - info.free_bytes);
  return cat(human_bytes(static_cast<uint64_t>(planned)), " planned, ",
             human_bytes(static_cast<uint64_t>(used)), " in use (", used < planned ? "" : "+",
             fixed(100.0 * (used / planned - 1.0), 2), " %)");
}

std::string settings_text(const RunConfig& config) {
  Table table("lll");
  for (const RunConfig::Origin& origin : config.origins)
    table.add({origin.key, origin.value, origin.origin});
  return table.text(2);
}

std::string evaluation_text(const EvalMetrics& metrics) {
  return cat("loss ", fixed(metrics.loss, 4), "  perplexity ", fixed(metrics.perplexity(), 2),
             "  accuracy ", fixed(100 * metrics.accuracy, 2), " %");
}

}  // namespace qe::tools
