// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sizes of well-known encoders, for benchmarks without a model folder.

#include <string>
#include <vector>

#include "formats/encoder_config.h"

namespace qe {

/// Names in ascending order of size within a family: "bert-base", "esm2-650m" ...
std::vector<std::string> named_shapes();

/// A BERT of that name's sizes: layers, widths, heads, vocabulary and dropout are the named
/// model's, everything else (post-norm blocks, learned positions, a plain feed-forward) is BERT's.
/// A gated feed-forward (ModernBERT) is replaced by a plain one with as many weights. Throws Error
/// naming the known shapes.
EncoderConfig named_encoder_config(const std::string& name);

}  // namespace qe
