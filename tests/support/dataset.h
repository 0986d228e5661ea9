// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Rows of dataset files from memory, in pieces of any size.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/dataset/registry.h"

namespace qe {

/// A stream that gives `content` in pieces of n bytes.
class PieceStream : public ByteStream {
 public:
  PieceStream(std::string content, size_t n) : content_(std::move(content)), n_(n) {}
  std::string_view next() override {
    const std::string_view piece = std::string_view(content_).substr(position_, n_);
    position_ += piece.size();
    return piece;
  }

 private:
  std::string content_;
  size_t n_;
  size_t position_ = 0;
};

/// The rows that the format of `name` reads from `content`, with the lines where they begin.
inline std::vector<std::pair<Json, int64_t>> rows_of(const std::string& name,
                                                     const std::string& content,
                                                     size_t piece = SIZE_MAX) {
  TextStream text(std::make_unique<PieceStream>(content, piece), name);
  std::vector<std::pair<Json, int64_t>> rows;
  dataset_file_type(name).format->read(
      text, [&](Json&& row, int64_t line) { rows.emplace_back(std::move(row), line); });
  return rows;
}

}  // namespace qe
