// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "kernels/core/error.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

constexpr int64_t kBarWidth = 24;

size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress() {
  const char* term = std::getenv("TERM");
  terminal_ = isatty(STDERR_FILENO) && term && std::string(term) != "dumb";
  const char* no_color = std::getenv("NO_COLOR");
  colour_ = terminal_ && !(no_color && *no_color);
}

Progress::~Progress() { clear(); }

void Progress::line(const std::string& text) {
  clear();
  std::cerr << text << "\n";
}

void Progress::bar(const std::string& label, int64_t done, int64_t total,
                   const std::string& detail) {
  if (!terminal_) return;
  const auto now = Clock::now();
  if (label != label_) {
    label_ = label;
    start_ = now;
    first_done_ = done;
  } else if (drawn_ && (done < total || total == 0) &&
             now - last_draw_ < std::chrono::milliseconds(100)) {
    return;
  }
  last_draw_ = now;

  const int64_t bar_width = total > 0 ? kBarWidth : 0;
  const int64_t full = total > 0 ? bar_width * done / total : 0;
  std::string filled, rest;
  for (int64_t i = 0; i < bar_width; ++i) (i < full ? filled : rest) += i < full ? "█" : "░";
  std::string tail = cat(total > 0 ? " " : "", human_count(done));
  if (total > 0) tail += "/" + human_count(total);
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  if (done > first_done_ && done < total)
    tail += "  " +
            human_duration(elapsed / static_cast<double>(done - first_done_) *
                           static_cast<double>(total - done)) +
            " left";
  if (!detail.empty()) tail += "  " + detail;

  const size_t taken = text_width(label) + 1 + bar_width;
  const size_t width = terminal_width() - 1;
  tail = fit_width(tail, width > taken + 1 ? width - taken : 1);
  const char* paint = colour_ ? "\x1b[32m" : "";
  const char* plain = colour_ ? "\x1b[0m" : "";
  std::cerr << "\r\x1b[K" << label << " " << paint << filled << plain << rest << tail << std::flush;
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

Log Progress::log() {
  return Log([this](LogLevel level, const std::string& text) {
    line(level == LogLevel::kWarning
             ? cat(colour_ ? "\x1b[33m" : "", "warning:", colour_ ? "\x1b[0m " : " ", text)
             : text);
  });
}

}  // namespace qe::tools
