// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The libraries underneath, as they say themselves while the program runs.

#include <string>
#include <vector>

namespace qe {

struct LibraryVersion {
  std::string name;
  std::string version;
  std::string detail;  ///< what it chose for this machine; "" when it chooses nothing
};

/// All of them, and the tables of ours that stand for a library. Each entry comes from the one file
/// that includes the library.
std::vector<LibraryVersion> library_versions();

}  // namespace qe
