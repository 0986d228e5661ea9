// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// How a host ends what takes long: it sets the token, and who works looks at it now and then.

#include <atomic>

#include "kernels/core/error.h"

namespace qe {

/// Null: never stopped.
using StopToken = const std::atomic<bool>*;

/// Thrown where a token ends an operation that has nothing to save.
class Stopped : public Error {
 public:
  Stopped() : Error("stopped") {}
};

inline bool is_stopped(StopToken stop) { return stop != nullptr && stop->load(); }
inline void throw_if_stopped(StopToken stop) {
  if (is_stopped(stop)) throw Stopped();
}

}  // namespace qe
