// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What fuzz targets share. A target is one .cpp with LLVMFuzzerTestOneInput; scripts/fuzz.sh runs
// them. The expected answer to bad input is an Error of one short line: anything else ends the run.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/core/error.h"
#include "tests/support/temporary_folder.h"

namespace qe::fuzz {

/// Ends the run, so that the fuzzer keeps the input.
[[noreturn]] inline void finding(const std::string& what) {
  std::fprintf(stderr, "finding: %s\n", what.c_str());
  std::abort();
}

inline void require(bool condition, const char* what) {
  if (!condition) finding(what);
}

/// Runs `action`; returns whether it threw no Error. Checks the Error's message.
template <class Action>
bool succeeds(Action&& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    const std::string_view what = error.what();
    require(!what.empty(), "an error without a message");
    if (what.size() > 2000) finding("a message of " + std::to_string(what.size()) + " bytes");
    const bool one_line = std::all_of(what.begin(), what.end(),
                                      [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
    if (!one_line) finding("a message with control characters: " + std::string(what));
    return false;
  }
}

/// An input, taken apart from its front.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  /// The next byte; 0 at the end.
  unsigned byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<unsigned char>(rest_[0]);
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view rest() const { return rest_; }
  /// What comes before the next line "----" (all that is left without one).
  std::string_view part() {
    constexpr std::string_view kSeparator = "\n----\n";
    const size_t end = std::min(rest_.find(kSeparator), rest_.size());
    const std::string_view part = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + kSeparator.size(), rest_.size()));
    return part;
  }

 private:
  std::string_view rest_;
};

/// A folder for the process's files.
inline const TemporaryFolder& folder() {
  static const TemporaryFolder folder;
  return folder;
}

}  // namespace qe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
