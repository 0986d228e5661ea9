// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a benchmarked step cannot do without: operations and bytes, from the model's sizes alone.

#include "formats/encoder_config.h"
#include "kernels/core/dtype.h"

namespace qe::tools {

/// One step: full rows, sequences of equal length.
struct BenchWork {
  int64_t sequences = 8;
  int64_t length = 128;    ///< tokens of each sequence
  int64_t n_labels = 0;    ///< rows of the MLM head
  int64_t lora_r = 0;      ///< rank on every linear layer; 0: no adapter
  int64_t bits = 4;        ///< of the linear layers' weights
  bool training = false;   ///< backward as well; weights are frozen
  bool recompute = false;  ///< layers run forward twice

  int64_t n_tokens() const { return sequences * length; }
};

struct BenchFloor {
  double flops = 0.0;  ///< multiplications and additions of matrix products
  double bytes = 0.0;  ///< weights that are read, once
};

/// Linear layers forward, and backward towards x only (there is no gradient of a frozen weight, and
/// none below layer 0); attention with 2 products forward and 5 backward; LoRA; the head and, in
/// the last layer, all but keys and values on labelled rows. stored: the type of the decoder's
/// weights.
BenchFloor bench_floor(const EncoderConfig& config, const BenchWork& work, DType stored);

}  // namespace qe::tools
