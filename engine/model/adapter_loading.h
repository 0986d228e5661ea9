// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// From an adapter's settings or folder to a LoraAdapter that fits a model.

#include <memory>
#include <string>

#include "engine/model/masked_lm.h"
#include "kernels/core/log.h"

namespace qe {

/// A new adapter of `config` (target_modules may be a preset) for `model`, not initialized. Throws
/// Error when its targets match nothing, or something that cannot be adapted.
std::unique_ptr<LoraAdapter> make_adapter(AdapterConfig config, const MaskedLm& model,
                                          bool trainable, const Context& ctx, Memory& memory);

/// Gives an adapter's parts the names that they have in the masked language model (one that was
/// made for the bare encoder, AutoModel's, lacks their beginning), and removes those that it does
/// not use (poolers; ESM's contact head, which "all-linear" finds, too).
void fit_to_family(Adapter& adapter, const EncoderConfig& config);

/// The adapter that was read from `folder`, for `model`. `base` is the model's folder: a warning is
/// logged when the adapter names another base. Throws Error, naming folder and module, when modules
/// or shapes do not fit. While memory.planning() no values are copied. ctx: as LoraAdapter's.
std::unique_ptr<LoraAdapter> place_adapter(Adapter stored, const std::string& folder,
                                           const MaskedLm& model, const std::string& base,
                                           bool trainable, const Context& ctx, Memory& memory,
                                           const Log& log);

/// The same of a PEFT adapter's folder, which is read.
std::unique_ptr<LoraAdapter> load_adapter(const std::string& folder, const MaskedLm& model,
                                          const std::string& base, bool trainable,
                                          const Context& ctx, Memory& memory, const Log& log);

}  // namespace qe
