// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/text_stream.h"

#include <algorithm>
#include <utility>

#include "formats/dataset/registry.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// A file as it is, in pieces: what was read is not held.
class PlainStream : public ByteStream {
 public:
  explicit PlainStream(MappedFile file) : file_(std::move(file)) {}

  std::string_view next() override {
    constexpr size_t kPiece = size_t{16} << 20;
    file_.drop_pages(begin_, end_);
    begin_ = end_;
    end_ += std::min(kPiece, file_.bytes().size() - begin_);
    return {reinterpret_cast<const char*>(file_.bytes().data()) + begin_, end_ - begin_};
  }

 private:
  MappedFile file_;
  size_t begin_ = 0, end_ = 0;  // of the piece at hand
};

std::unique_ptr<ByteStream> open_stream(const std::string& path) {
  const DatasetFileType type = dataset_file_type(path);
  MappedFile file(path);
  if (type.compression) return type.compression->open(std::move(file));
  return std::make_unique<PlainStream>(std::move(file));
}

}  // namespace

TextStream::TextStream(const std::string& path) : TextStream(open_stream(path), path) {}

TextStream::TextStream(std::unique_ptr<ByteStream> bytes, std::string path)
    : bytes_(std::move(bytes)), path_(std::move(path)) {
  skip_byte_order_mark();
}

void TextStream::skip_byte_order_mark() {
  rest_ = bytes_->next();
  if (rest_.size() < kByteOrderMark.size()) {
    while (!rest_.empty() && head_.size() < kByteOrderMark.size()) {
      head_ += rest_;
      rest_ = bytes_->next();
    }
    // What came after the head is kept behind it: both are short.
    head_ += rest_;
    rest_ = head_;
  }
  if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
}

std::string_view TextStream::rest() {
  if (rest_.empty()) rest_ = bytes_->next();
  return rest_;
}

void append_to_row(std::string& row, std::string_view piece, size_t max_bytes,
                   const TextStream& text, int64_t line) {
  QE_CHECK(piece.size() <= max_bytes - row.size(), text.path(), ":", line,
           ": the row that begins here is longer than ", max_bytes >> 20, " MiB");
  row += piece;
}

bool LineReader::next(std::string_view& line) {
  carry_.clear();
  line = {};
  if (text_.rest().empty()) return false;
  ++number_;
  for (std::string_view rest; !(rest = text_.rest()).empty();) {
    const size_t end = rest.find('\n');
    const std::string_view piece = rest.substr(0, end);
    const bool ended = end != std::string_view::npos;
    if (ended && carry_.empty()) {
      QE_CHECK(piece.size() <= max_bytes_, text_.path(), ":", number_,
               ": the row that begins here is longer than ", max_bytes_ >> 20, " MiB");
      line = piece;
    } else {
      append_to_row(carry_, piece, max_bytes_, text_, number_);
      line = carry_;
    }
    text_.skip(ended ? end + 1 : rest.size());
    if (ended) break;
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  return true;
}

}  // namespace qe
