// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/convert_folder.h"

#include <filesystem>

#include "engine/train/training_state.h"
#include "formats/atomic_write.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/error.h"

namespace qe::tools {

BaseOptions base_options_of(const Arguments& arguments) {
  std::vector<std::pair<std::string, std::string>> given;
  for (const char* key : {"bits", "quant_type", "double_quant", "quant_block_size"}) {
    if (arguments.has(key)) given.emplace_back(key, arguments.text(key));
  }
  return base_options(read_run_config("", given));
}

std::optional<DType> float_option(const Arguments& arguments, const char* name) {
  if (!arguments.has(name)) return {};
  const std::string text = arguments.text(name);
  if (text == "float32") return DType::kF32;
  if (text == "float16") return DType::kF16;
  if (text == "bfloat16") return DType::kBF16;
  throw UsageError(cat("--", name, ": expected float32, float16 or bfloat16, got \"", text, "\""));
}

void check_output(const Arguments& arguments) {
  namespace fs = std::filesystem;
  const std::string output = arguments.text("output");
  std::error_code error;
  QE_CHECK(!fs::exists(output, error) ||
               (fs::is_directory(output, error) && fs::is_empty(output, error)),
           output, ": is there already and not an empty folder; it would be replaced");
}

void write_converted(const Arguments& arguments, const ConvertedTensors& model) {
  const Tokenizer tokenizer = Tokenizer::load(arguments.text("model"));
  write_folder_atomically(arguments.text("output"), [&](const std::string& folder) {
    model.write(folder);
    copy_files(tokenizer.files(), folder);
  });
}

}  // namespace qe::tools
