// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// From a model folder to a MaskedLm: finds every tensor by its Hugging Face name, checks its shape,
// and stores it once, quantized or as it is stored.

#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/host_quant4.h"
#include "engine/model/masked_lm.h"
#include "engine/model/tensor_source.h"
#include "formats/run_config.h"

namespace qe {

/// How the base's Linears are held.
struct BaseOptions {
  int64_t bits = 4;     ///< 4, or 16 / 32: dense in the stored type
  Quant4Options quant;  ///< of weights that the folder does not hold in 4 bits already
  /// Linears that stay dense with bits 4: what is trained in full (AdapterConfig::modules_to_save).
  std::vector<std::string> unquantized_modules;
  bool needs_head = true;  ///< false: a folder without a masked-LM head is as good
};

BaseOptions base_options(const RunConfig& config);

/// Whether the loader quantizes this Linear of the family when bits is 4.
bool quantizes(const EncoderConfig& config, const std::string& module);

/// Loads `folder`. Quantizes the encoder's Linears (bits 4), skipping what the family skips (the
/// head) and the options name. Weights that bitsandbytes has quantized are taken as they are,
/// whichever they are, and decoded when bits is 16 or 32; embeddings, head and other matrices keep
/// their stored type, biases and LayerNorms become fp32. At most one tensor beside the result is in
/// anonymous memory at any time: files are mapped. While memory.planning(), only headers are read
/// and nothing is computed. Errors name folder and tensor: missing, wrong shape, not a floating
/// type, NaN or infinity in a quantized weight, no MLM head. ctx: device, compute type and threads;
/// its arena is not used. On a GPU matrices, embeddings and biases of Linears are held in the
/// compute type.
MaskedLm load_masked_lm(const std::string& folder, const BaseOptions& options, const Context& ctx,
                        Memory& memory);

/// The same from any source of tensors.
MaskedLm load_masked_lm(TensorSource& source, const EncoderConfig& config,
                        const BaseOptions& options, const Context& ctx, Memory& memory);

/// The same with random weights (tensor_source.h), for benchmarks: no folder is read.
MaskedLm random_masked_lm(const EncoderConfig& config, uint64_t seed, const BaseOptions& options,
                          const Context& ctx, Memory& memory);

}  // namespace qe
