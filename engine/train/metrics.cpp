// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

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

MetricsFile::MetricsFile(const std::string& path, int64_t last_step, int64_t n_lines)
    : path_(path) {
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
  file_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  QE_CHECK(file_ >= 0, path, ": ", std::strerror(errno));
}

MetricsFile::~MetricsFile() { ::close(file_); }

void MetricsFile::append(const Json& line) {
  const std::string text = line.dump() + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(file_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    QE_CHECK(n > 0, path_, ": ", std::strerror(errno));
    done += static_cast<size_t>(n);
  }
}

}  // namespace qe
