// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// .zst: zstd frames one after the other (RFC 8878), checksums verified where there are any.

#include <zstd.h>

#include <new>
#include <utility>
#include <vector>

#include "formats/dataset/registry.h"
#include "formats/library_versions.h"
#include "kernels/core/error.h"

namespace qe::compressions {
namespace {

class ZstdStream : public ByteStream {
 public:
  explicit ZstdStream(MappedFile file) : file_(std::move(file)), piece_(2 * ZSTD_DStreamOutSize()) {
    QE_CHECK(!file_.bytes().empty(), file_.path(), ": empty, expected zstd data");
    context_ = ZSTD_createDCtx();  // last: the destructor of what is not constructed does not run
    if (!context_) throw std::bad_alloc();
  }
  ~ZstdStream() override { ZSTD_freeDCtx(context_); }

  std::string_view next() override {
    ZSTD_inBuffer in{file_.bytes().data(), file_.bytes().size(), position_};
    ZSTD_outBuffer out{piece_.data(), piece_.size(), 0};
    // All input may have been taken while the decoder still holds output.
    while (out.pos < out.size && !(in.pos == in.size && frame_ended_)) {
      const size_t in_before = in.pos, out_before = out.pos;
      const size_t code = ZSTD_decompressStream(context_, &out, &in);
      // Windows above 128 MiB (zstd --ultra --long=28 and more) are refused by zstd itself.
      QE_CHECK(!ZSTD_isError(code), file_.path(), ": cannot read zstd data at byte ", in.pos, ": ",
               ZSTD_getErrorName(code));
      frame_ended_ = code == 0;
      QE_CHECK(frame_ended_ || in.pos != in_before || out.pos != out_before, file_.path(),
               ": truncated zstd data: the file ends at byte ", in.pos,
               ", before the end of what it holds");
    }
    position_ = in.pos;
    return {piece_.data(), out.pos};
  }

 private:
  MappedFile file_;
  std::vector<char> piece_;
  ZSTD_DCtx* context_ = nullptr;
  size_t position_ = 0;  // of the next compressed byte
  bool frame_ended_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> open_zstd(MappedFile file) {
  return std::make_unique<ZstdStream>(std::move(file));
}

}  // namespace qe::compressions

namespace qe {
LibraryVersion version_of_zstd() { return {"zstd", ZSTD_versionString(), ""}; }
}  // namespace qe
