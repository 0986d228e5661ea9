// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Running something that may take all time and memory, in a process of its own.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "tests/support/temporary_folder.h"

namespace qe {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

struct Outcome {
  bool ended = false;       ///< by itself: no crash, not stopped for its time
  std::string error;        ///< the Error's message; "" when there was none
  double seconds = 0;       ///< of processor time
  int64_t grown_bytes = 0;  ///< resident memory at most, above that at the start
};

/// Runs `action` and stops it after `max_seconds` of processor time. Sanitizers take their share of
/// time (the limit is 20 times as high) and memory.
template <class Action>
Outcome run_apart(Action&& action, unsigned max_seconds) {
  int64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> resident_pages >> resident_pages;
  int ends[2];
  if (::pipe(ends) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    const rlim_t seconds = max_seconds * (kSanitized ? 20 : 1);
    const rlimit limit{seconds, seconds};
    ::setrlimit(RLIMIT_CPU, &limit);
    const std::string error = error_of(action);
    const ssize_t written = ::write(ends[1], error.data(), error.size());
    ::_exit(written == static_cast<ssize_t>(error.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  Outcome outcome;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    outcome.error.append(buffer, static_cast<size_t>(n));
  }
  ::close(ends[0]);
  int status = -1;
  rusage usage{};
  if (child < 0 || ::wait4(child, &status, 0, &usage) != child) return outcome;
  outcome.ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const auto seconds_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  outcome.seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  outcome.grown_bytes = usage.ru_maxrss * 1024 - resident_pages * ::sysconf(_SC_PAGESIZE);
  return outcome;
}

}  // namespace qe
