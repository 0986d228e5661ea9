// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a person sees on stderr while a command runs: log lines and, on a terminal, a bar below
// them. Elsewhere only lines. NO_COLOR and TERM=dumb are honoured.

#include <chrono>
#include <cstdint>
#include <string>

#include "kernels/core/log.h"

namespace qe::tools {

class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// A line that stays.
  void line(const std::string& text);
  /// Sets the bar: `label`, `done` of `total`, and `detail` behind it ("loss 2.61"). The remaining
  /// time is estimated from the first call with this label on. total 0: unknown, only `done` is
  /// shown. Drawn at most ten times a second.
  void bar(const std::string& label, int64_t done, int64_t total, const std::string& detail);
  /// Removes the bar.
  void clear();

  /// A log whose lines go here; warnings are marked. Must not outlive this object.
  Log log();

 private:
  using Clock = std::chrono::steady_clock;

  bool terminal_ = false;
  bool colour_ = false;
  bool drawn_ = false;
  std::string label_;
  Clock::time_point start_, last_draw_;
  int64_t first_done_ = 0;
};

}  // namespace qe::tools
