// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/core/error.h"

namespace qe {

AppendFile::AppendFile(const std::string& path, Open open) : path_(path) {
  const int flags = O_WRONLY | O_APPEND | O_CLOEXEC;
  file_ = ::open(path.c_str(), open == Open::kNew ? flags | O_CREAT | O_EXCL : flags, 0666);
  QE_CHECK(file_ >= 0, path, ": ", std::strerror(errno));
}

AppendFile::~AppendFile() { ::close(file_); }

void AppendFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    QE_CHECK(n > 0, path_, ": ", std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace qe
