// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/metrics.h"

#include <cmath>
#include <fstream>
#include <string_view>

#include "formats/atomic_write.h"
#include "kernels/core/error.h"

namespace qe {

double EvalMetrics::perplexity() const { return std::exp(loss); }

Json to_json(const StepMetrics& m) {
  Json json = Json::object(
      {{"step", m.step},
       {"epoch", m.epoch},
       {"loss", m.loss},
       {"learning_rate", m.learning_rate},
       {"grad_norm", m.grad_norm},
       {"n_labels", m.n_labels},
       {"n_tokens", m.n_tokens},
       {"tokens_per_second", m.seconds > 0 ? static_cast<double>(m.n_tokens) / m.seconds : 0.0},
       {"data_wait", m.data_wait}});
  if (m.mlm_probability) json.set("mlm_probability", *m.mlm_probability);
  if (!m.skipped.empty()) json.set("skipped", m.skipped);
  return json;
}

Json to_json(const EvalMetrics& m) {
  return Json::object({{"step", m.step},
                       {"epoch", m.epoch},
                       {"eval_loss", m.loss},
                       {"eval_loss_hf", m.loss_hf},
                       {"eval_perplexity", m.perplexity()},
                       {"eval_accuracy", m.accuracy},
                       {"eval_labels", m.n_labels},
                       {"eval_samples", m.n_samples},
                       {"eval_runtime", m.seconds},
                       {"eval_samples_per_second",
                        m.seconds > 0 ? static_cast<double>(m.n_samples) / m.seconds : 0.0}});
}

std::vector<EventFile::Scalar> event_scalars(const Json& log_entry) {
  constexpr std::string_view kEval = "eval_";
  std::vector<EventFile::Scalar> scalars;
  for (const auto& [key, value] : log_entry.members()) {
    if (key == "step" || !value.is_number()) continue;
    scalars.emplace_back(
        key.starts_with(kEval) ? "eval/" + key.substr(kEval.size()) : "train/" + key,
        static_cast<float>(value.as_double()));
  }
  return scalars;
}

namespace {

// Leaves in the file what the run goes on from, and gives its path.
std::string kept_lines(const std::string& path, int64_t last_step, int64_t n_lines) {
  std::string kept;
  std::ifstream old(path);
  for (std::string line; n_lines > 0 && std::getline(old, line); --n_lines) {
    try {
      if (Json::parse(line, path).at("step").as_int() > last_step) break;
    } catch (const Error&) {
      break;
    }
    kept += line + "\n";
  }
  write_file_atomically(path, kept);
  return path;
}

}  // namespace

MetricsFile::MetricsFile(const std::string& path, int64_t last_step, int64_t n_lines)
    : file_(kept_lines(path, last_step, n_lines), AppendFile::Open::kExisting) {}

void MetricsFile::append(const Json& line) { file_.append(line.dump() + "\n"); }

}  // namespace qe
