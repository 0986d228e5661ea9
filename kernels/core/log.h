// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Log lines go to a sink given by the host. Nothing in the library writes to stdout or stderr.

#include <functional>
#include <string>
#include <utility>

namespace qe {

enum class LogLevel { kInfo, kWarning };

/// A sink for log lines (no trailing newline). Default constructed, it drops them. May be called
/// from the thread that runs the operation only.
class Log {
 public:
  using Sink = std::function<void(LogLevel, const std::string&)>;
  Log() = default;
  explicit Log(Sink sink) : sink_(std::move(sink)) {}
  void info(const std::string& line) const { write(LogLevel::kInfo, line); }
  void warn(const std::string& line) const { write(LogLevel::kWarning, line); }

 private:
  void write(LogLevel level, const std::string& line) const {
    if (sink_) sink_(level, line);
  }
  Sink sink_;
};

}  // namespace qe
