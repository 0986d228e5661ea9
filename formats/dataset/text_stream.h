// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A dataset file as a stream of bytes, decompressed when its name says so. Memory does not depend
// on the file's size: whoever reads holds one row at a time, and rows are limited.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace qe {

/// Bytes from front to back.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// The next bytes, valid until the next call; empty at the end. Throws Error naming the file and
  /// the place when they cannot be had.
  virtual std::string_view next() = 0;
};

/// Longest row of any format, in bytes; a decompression bomb ends here.
inline constexpr size_t kMaxRowBytes = size_t{1} << 30;

/// What formats read from. A byte order mark at the front is skipped.
class TextStream {
 public:
  /// Opens a file, through the decompressor of its last extension if there is one.
  explicit TextStream(const std::string& path);
  TextStream(std::unique_ptr<ByteStream> bytes, std::string path);

  const std::string& path() const { return path_; }
  /// The bytes at hand, at least one; empty at the end.
  std::string_view rest();
  /// Passes over the first n bytes of rest().
  void skip(size_t n) { rest_.remove_prefix(n); }

 private:
  void skip_byte_order_mark();

  std::unique_ptr<ByteStream> bytes_;
  std::string path_;
  std::string head_;  // the first bytes, where the stream began with a very short piece
  std::string_view rest_;
};

/// Appends `piece` to the row that begins in `line`; Error when it gets longer than max_bytes.
void append_to_row(std::string& row, std::string_view piece, size_t max_bytes,
                   const TextStream& text, int64_t line);

/// The lines of a stream, without their ends ("\n" or "\r\n"). A last line without an end counts,
/// an empty one after the last end does not.
class LineReader {
 public:
  /// first_number: of the first line, where lines before it were passed over.
  explicit LineReader(TextStream& text, size_t max_bytes = kMaxRowBytes, int64_t first_number = 1)
      : text_(text), max_bytes_(max_bytes), number_(first_number - 1) {}

  /// The next line, valid until the next call; false at the end. Error when it is too long.
  bool next(std::string_view& line);
  int64_t number() const { return number_; }  ///< 1-based, of the line that next() gave

 private:
  TextStream& text_;
  size_t max_bytes_;
  int64_t number_;
  std::string carry_;  // a line that began in an earlier piece of the stream
};

}  // namespace qe
