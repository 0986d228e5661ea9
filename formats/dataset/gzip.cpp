// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// .gz: gzip members one after the other (RFC 1952), checksums verified. Zeros behind the last one
// are padding.

#include <zlib.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "formats/dataset/registry.h"
#include "formats/library_versions.h"
#include "kernels/core/error.h"

namespace qe::compressions {
namespace {

constexpr size_t kPiece = size_t{1} << 18;     // decompressed at once
constexpr size_t kMaxInput = size_t{1} << 30;  // zlib counts in 32 bits
constexpr int kGzipOnly = 16;                  // added to the window bits: no zlib, no raw stream

class GzipStream : public ByteStream {
 public:
  explicit GzipStream(MappedFile file) : file_(std::move(file)), piece_(kPiece) {
    QE_CHECK(!file_.bytes().empty(), file_.path(), ": empty, expected gzip data");
    // Last: the destructor of what is not constructed does not run.
    if (inflateInit2(&z_, MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { inflateEnd(&z_); }

  std::string_view next() override {
    z_.next_out = reinterpret_cast<Bytef*>(piece_.data());
    z_.avail_out = static_cast<uInt>(piece_.size());
    while (z_.avail_out > 0 && !done_) inflate_some();
    return {piece_.data(), piece_.size() - z_.avail_out};
  }

 private:
  void inflate_some() {
    const auto left = file_.bytes().subspan(position_);
    // zlib takes a pointer to non-const and does not write there.
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(left.data()));
    z_.avail_in = static_cast<uInt>(std::min(left.size(), kMaxInput));
    const uInt given = z_.avail_in, room = z_.avail_out;
    const int code = inflate(&z_, Z_NO_FLUSH);
    position_ += given - z_.avail_in;
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    if (code == Z_STREAM_END) {
      next_member();
      return;
    }
    QE_CHECK(code == Z_OK || code == Z_BUF_ERROR, file_.path(), ": corrupt gzip data at byte ",
             position_, ": ", z_.msg ? z_.msg : zError(code));
    QE_CHECK(given != z_.avail_in || room != z_.avail_out, file_.path(),
             ": truncated gzip data: the file ends at byte ", position_,
             ", before the end of what it holds");
  }

  void next_member() {
    const auto left = file_.bytes().subspan(position_);
    done_ = std::all_of(left.begin(), left.end(), [](std::byte b) { return b == std::byte{0}; });
    if (!done_) inflateReset(&z_);
  }

  MappedFile file_;
  std::vector<char> piece_;
  z_stream z_{};
  size_t position_ = 0;  // of the next compressed byte
  bool done_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> open_gzip(MappedFile file) {
  return std::make_unique<GzipStream>(std::move(file));
}

}  // namespace qe::compressions

namespace qe {
LibraryVersion version_of_zlib() { return {"zlib", zlibVersion(), ""}; }
}  // namespace qe
