// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A file that grows while a run goes on: every piece is handed to the system as it is written.

#include <string>
#include <string_view>

namespace qe {

class AppendFile {
 public:
  enum class Open { kExisting, kNew };

  /// Opens a file that is there, or creates one that must not be. Throws Error.
  AppendFile(const std::string& path, Open open);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  /// Throws Error naming the path and the system's reason; a part may have been written then.
  void append(std::string_view bytes);

 private:
  std::string path_;
  int file_ = -1;
};

}  // namespace qe
