// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/bench_floor.h"

namespace qe::tools {

BenchFloor bench_floor(const EncoderConfig& config, const BenchWork& work, DType stored) {
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  const double h = real(config.hidden_size);
  const double f = real(config.ffn_size);
  const double v = real(config.vocab_size);
  const double layers = real(config.n_layers);
  const double tokens = real(work.n_tokens());
  const double labels = real(work.n_labels);
  const double r = real(work.lora_r);
  // Keys and values of a layer, and all else of it, which the last layer needs at labelled rows
  // only.
  const double key_value = 2 * h * h, rest = 2 * h * h + 2 * h * f;
  const double key_value_lora = 4 * r * h, rest_lora = r * (8 * h + 2 * f);
  const double rest_rows = (layers - 1) * tokens + labels;

  const double linear = 2 * (layers * tokens * key_value + rest_rows * rest);
  const double attention = 4 * rest_rows * real(work.length) * h;
  const double adapters = 2 * (layers * tokens * key_value_lora + rest_rows * rest_lora);
  const double head = 2 * labels * (h * h + h * v) + 2 * labels * r * 2 * h;
  const double forward = linear + attention + adapters;
  BenchFloor floor;
  floor.flops = forward + head;
  if (work.training) {
    const double not_below_layer_0 = 2 * tokens * 3 * (h * h + r * h);
    floor.flops += linear + 2.5 * attention + 2 * adapters - not_below_layer_0;
    floor.flops += head + 2 * labels * r * 2 * h;
    if (work.recompute) floor.flops += forward;
  }
  const double bytes_per_weight = work.bits == 4 ? 0.516 : static_cast<double>(dtype_size(stored));
  floor.bytes = layers * (key_value + rest) * bytes_per_weight +
                (h * h + h * v) * static_cast<double>(dtype_size(stored));
  return floor;
}

}  // namespace qe::tools
