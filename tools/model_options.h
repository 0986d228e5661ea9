// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What the commands that ask a model have in common: how it is loaded, and where texts come from.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/infer/session.h"
#include "engine/train/stop_token.h"
#include "tools/args.h"

namespace qe::tools {

/// `own` with the options model, adapter, bits and the others of model_options, which come last.
std::vector<Option> with_model_options(std::vector<Option> own);
InferOptions model_options(const Arguments& arguments);
/// Of commands over many texts: InferOptions::batch_tokens.
int64_t batch_tokens_of(const Arguments& arguments);

/// Takes a text and the place that errors name: "text 2", "FILE:7", "standard input:7".
using TakeText = std::function<void(std::string&& text, const std::string& place)>;
/// Gives every text of a command, in order: its positional arguments; the records of --input; or
/// the lines of standard input. An Error that take throws gets the place in front. Throws Stopped
/// before a text once `stop` is set.
void for_each_input(const Arguments& arguments, const TakeText& take, StopToken stop = nullptr);

}  // namespace qe::tools
