// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/model_options.h"

#include <iostream>

#include "engine/model/expanded_weights.h"
#include "formats/dataset/text_reader.h"
#include "formats/run_config.h"
#include "kernels/core/error.h"

namespace qe::tools {

std::vector<Option> with_model_options(std::vector<Option> own) {
  std::vector<Option> all{
      {"model", "DIR", "model folder: config.json, *.safetensors, tokenizer.json", true},
      {"adapter", "DIR", "LoRA adapter folder, by train or by peft"}};
  all.insert(all.end(), own.begin(), own.end());
  const std::vector<Option> rest{
      {"bits", "4|16|32", "stored weights of the base (4)"},
      {"quant_type", "nf4|fp4", "code of the 4-bit weights (nf4)"},
      {"double_quant", "true|false", "quantize the block scales too (true)"},
      {"quant_block_size", "N", "weights that share a scale (64)"},
      {"device", "NAME", "auto, cpu, cuda or cuda:N (auto)"},
      {"compute_dtype", "TYPE", "what a GPU computes in: auto, fp32, bf16, fp16 (auto)"},
      {"max_memory_MB", "SIZE",
       "of the device, in MB or with a unit; 0: on a GPU what is free (0)"},
      {"resident_weights", "true|false", "GPU: hold 4-bit weights decoded as well (false)"},
      {"threads", "N", "CPU threads; 0: all (0)"}};
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

InferOptions model_options(const Arguments& arguments) {
  InferOptions options;
  options.model = arguments.text("model");
  options.adapter = arguments.text("adapter");
  options.threads = static_cast<int>(arguments.integer("threads", 0, 0, 4096));
  const RunConfig config =
      given_settings(arguments, {"bits", "quant_type", "double_quant", "quant_block_size", "device",
                                 "compute_dtype", "max_memory_MB", "resident_weights"});
  options.base = base_options(config);
  options.expanded_layers = n_expanded_layers(config);
  options.device = config.device;
  options.compute_dtype = config.compute_dtype;
  options.max_memory_MB = config.max_memory_MB;
  return options;
}

int64_t batch_tokens_of(const Arguments& arguments) {
  return arguments.integer("batch_tokens", 4096, 0, 1 << 24);
}

void for_each_input(const Arguments& arguments, const TakeText& take, StopToken stop) {
  const auto give = [&](std::string&& text, const std::string& place) {
    throw_if_stopped(stop);
    try {
      take(std::move(text), place);
    } catch (const Error& error) {
      fail(place, ": ", error.what());
    }
  };
  if (arguments.has("input")) {
    if (!arguments.positionals.empty()) throw UsageError("--input takes no TEXT");
    const std::string path = arguments.text("input");
    read_records(path, {}, [&](Record&& record) {
      const std::string place = cat(path, ":", record.line);
      QE_CHECK(!record.pair && record.input_ids.empty(), place, ": expected a row with one text");
      give(std::move(record.text), place);
    });
    return;
  }
  int64_t number = 0;
  for (const std::string& text : arguments.positionals) {
    give(std::string(text), cat("text ", ++number));
  }
  if (!arguments.positionals.empty()) return;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    give(std::move(line), cat("standard input:", ++number));
  }
}

}  // namespace qe::tools
