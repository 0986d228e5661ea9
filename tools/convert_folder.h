// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What quantize, merge and combine share: their options and the making of the new folder.

#include "engine/convert/converted_tensors.h"
#include "tools/args.h"

namespace qe::tools {

/// --bits, --quant_type, --double_quant, --quant_block_size, with the settings' checks.
BaseOptions base_options_of(const Arguments& arguments);

/// "DIR" or "DIR:WEIGHT".
WeightedAdapter weighted_adapter_of(const std::string& text);

/// Throws Error when --output is there already and not an empty folder.
void check_output(const Arguments& arguments);
/// Writes the model and the tokenizer's files into --output, which appears whole or not at all.
void write_converted(const Arguments& arguments, const ConvertedTensors& model);

}  // namespace qe::tools
