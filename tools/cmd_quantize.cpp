// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>

#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/convert_folder.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

DType storage_of(const Arguments& arguments) {
  const std::string name = arguments.text("storage", "uint8");
  const std::optional<DType> dtype = dtype_from_torch_name(name);
  if (dtype && is_quant4_storage(*dtype)) return *dtype;
  throw UsageError(
      cat("--storage: expected uint8, int8, float16, bfloat16, float32 or float64, "
          "got \"",
          name, "\""));
}

int run_quantize(const Arguments& arguments) {
  check_output(arguments);
  ThreadPool threads(static_cast<int>(arguments.integer("threads", 0, 0, 4096)));
  const ConvertOptions options{.base = ConvertOptions::Base::kStored,
                               .four_bit = true,
                               .trained = base_options_of(arguments),
                               .quantize_head = arguments.has("quantize_head"),
                               .storage = storage_of(arguments)};
  const ConvertedTensors model(arguments.text("model"), options, Context{.threads = &threads});
  write_converted(arguments, model);
  Table table("ll");
  table.add({"wrote", arguments.text("output")});
  table.add({"4-bit", human_count(model.n_quantized()) + " linear layers"});
  std::cout << table.text();
  return 0;
}

}  // namespace

Command quantize_command() {
  return {
      .name = "quantize",
      .summary = "a model folder with 4-bit weights, as transformers and bitsandbytes load it",
      .positionals = "",
      .max_positionals = 0,
      .takes_settings = false,
      .description =
          "Quantizes the linear layers of a model folder and writes a new one: the bytes that\n"
          "bitsandbytes would write, and a quantization_config that names what stays in\n"
          "floats. Here it trains and answers as the original does with bits 4, but that decoded\n"
          "values have the type of the original weights.",
      .options = {{"model", "DIR", "the model's folder", true},
                  {"output", "DIR", "the new folder", true},
                  {"quant_type", "nf4|fp4", "code of the weights (nf4)"},
                  {"double_quant", "true|false", "quantize the block scales too (true)"},
                  {"quant_block_size", "N", "weights that share a scale (64)"},
                  {"storage", "TYPE",
                   "type that holds the codes: uint8 (default), int8, "
                   "float16, bfloat16, float32, float64"},
                  {"quantize_head", nullptr,
                   "the dense layer of the MLM head as well, as "
                   "transformers 5 does when nothing is said"},
                  {"threads", "N", "CPU threads; 0: all"}},
      .example = "qlora-engine quantize --model bert-base-uncased --output bert-base-nf4",
      .run = run_quantize};
}

}  // namespace qe::tools
