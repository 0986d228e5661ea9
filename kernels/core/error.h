// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Errors and the text they carry. The library neither prints nor exits: what ends an operation is
// thrown as qe::Error, whose message says what was expected, what was found, and where.

#include <sstream>
#include <stdexcept>
#include <string>

namespace qe {

/// Everything this project throws. what() is one line, ready to be shown to a user.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Concatenates its arguments as text; numbers as operator<< prints them.
template <class... Ts>
std::string cat(const Ts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws Error with the concatenated arguments.
template <class... Ts>
[[noreturn]] void fail(const Ts&... parts) {
  throw Error(cat(parts...));
}

}  // namespace qe

/// Throws Error with the remaining arguments unless `condition` holds. They are evaluated only
/// then.
#define QE_CHECK(condition, ...)               \
  do {                                         \
    if (!(condition)) ::qe::fail(__VA_ARGS__); \
  } while (0)
