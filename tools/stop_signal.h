// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Ctrl-C and SIGTERM as a stop token. Handlers live in the program only, never in the library.

#include <atomic>

namespace qe::tools {

/// From now on the first SIGINT or SIGTERM sets the token; a second one ends the process as usual.
const std::atomic<bool>& stop_on_signals();

/// The exit status of a run that a signal ended: 128 + its number; 0 when there was none.
int stop_status();

}  // namespace qe::tools
