// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a package installs beside the program, made of the commands' own descriptions.

#include <string>
#include <vector>

#include "tools/args.h"

namespace qe::tools {

/// qlora-engine(1), for man.
std::string manual_page(const std::vector<Command>& commands);

/// Completions for "bash", "zsh" or "fish": commands, their options with the words that a value may
/// be, files elsewhere. Throws UsageError for another shell.
std::string completions(const std::vector<Command>& commands, const std::string& shell);

}  // namespace qe::tools
