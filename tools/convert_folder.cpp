// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/convert_folder.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "engine/train/training_state.h"
#include "formats/atomic_write.h"
#include "formats/mapped_file.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/error.h"

namespace qe::tools {

BaseOptions base_options_of(const Arguments& arguments) {
  return base_options(
      given_settings(arguments, {"bits", "quant_type", "double_quant", "quant_block_size"}));
}

WeightedAdapter weighted_adapter_of(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || folder_exists(text)) return {text, 1.0};
  WeightedAdapter adapter{text.substr(0, colon), 0.0};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, adapter.weight);
  if (error != std::errc() || stop != end || !std::isfinite(adapter.weight)) {
    throw UsageError(cat("expected an adapter's folder, or FOLDER:WEIGHT, got \"", text, "\""));
  }
  return adapter;
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
