// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// SIGINT (Ctrl-C), SIGTERM and SIGUSR1 as a stop token. Handlers live in the program only, never in
// the library.

#include <atomic>

namespace qe::tools {

/// From now on the first of these signals sets the token; a second one, of any kind, ends the
/// process at once with status 128 + its number.
const std::atomic<bool>& stop_on_signals();

/// The exit status of a run that a signal ended: 130 for SIGINT, 143 for SIGTERM; 0 for SIGUSR1,
/// by which schedulers ask for a checkpoint, and when there was none.
int stop_status();

}  // namespace qe::tools
