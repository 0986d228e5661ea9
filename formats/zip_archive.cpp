// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/zip_archive.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;
constexpr size_t kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr size_t kMaxComment = 0xffff;
constexpr uint32_t kIn64 = 0xffffffff;  // the value is in the zip64 field
constexpr uint16_t kId64 = 1;
constexpr unsigned kEncrypted = 1;
/// A directory of this size names about a million entries.
constexpr uint64_t kMaxDirectory = uint64_t{1} << 27;

struct Directory {
  uint64_t begin = 0, size = 0, n_entries = 0;
};
/// What the directory says about an entry.
struct Entry {
  std::string name;
  uint64_t stored = 0, size = 0, header = 0;
};

class Reader {
 public:
  explicit Reader(const MappedFile& file) : file_(file), bytes_(file.bytes()) {}

  std::map<std::string, std::span<const std::byte>> read() {
    const Directory directory = find_directory();
    std::map<std::string, std::span<const std::byte>> entries;
    std::vector<std::tuple<uint64_t, uint64_t, const std::string*>> ranges;
    uint64_t at = directory.begin;
    const uint64_t end = directory.begin + directory.size;
    for (uint64_t i = 0; i < directory.n_entries; ++i) {
      const Entry entry = read_entry(&at, end);
      const std::span<const std::byte> data = data_of(entry, directory.begin);
      const auto [place, added] = entries.emplace(entry.name, data);
      QE_CHECK(added, file_.path(), ": entry ", quote(entry.name), " is there twice");
      const auto data_end = static_cast<uint64_t>(data.data() - bytes_.data()) + data.size();
      ranges.emplace_back(entry.header, data_end, &place->first);
    }
    QE_CHECK(at == end, file_.path(), ": ", end - at, " bytes too many in the zip directory");
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 1; i < ranges.size(); ++i) {
      QE_CHECK(std::get<0>(ranges[i]) >= std::get<1>(ranges[i - 1]), file_.path(), ": entry ",
               quote(*std::get<2>(ranges[i])), " overlaps ", quote(*std::get<2>(ranges[i - 1])));
    }
    return entries;
  }

 private:
  template <class T>
  T number(uint64_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }
  bool has(uint64_t at, uint64_t n_bytes, uint64_t end) const {
    return at <= end && n_bytes <= end - at;
  }

  Directory find_directory() const {
    const std::string& path = file_.path();
    const uint64_t size = bytes_.size();
    std::optional<uint64_t> end;
    // The record ends with a comment of a length that it says.
    for (uint64_t comment = 0; comment <= kMaxComment && comment + kEndBytes <= size; ++comment) {
      const uint64_t at = size - kEndBytes - comment;
      if (number<uint32_t>(at) == kEnd && number<uint16_t>(at + 20) == comment) {
        end = at;
        break;
      }
    }
    QE_CHECK(end, path, ": a zip archive without its directory; truncated file?");
    Directory directory{.begin = number<uint32_t>(*end + 16),
                        .size = number<uint32_t>(*end + 12),
                        .n_entries = number<uint16_t>(*end + 10)};
    uint64_t limit = *end;
    if (*end >= kLocator64Bytes && number<uint32_t>(*end - kLocator64Bytes) == kLocator64) {
      limit = *end - kLocator64Bytes;
      const auto end64 = number<uint64_t>(limit + 8);
      QE_CHECK(has(end64, kEnd64Bytes, limit) && number<uint32_t>(end64) == kEnd64, path,
               ": no zip64 directory at byte ", end64);
      directory = {.begin = number<uint64_t>(end64 + 48),
                   .size = number<uint64_t>(end64 + 40),
                   .n_entries = number<uint64_t>(end64 + 32)};
      limit = end64;
    }
    QE_CHECK(has(directory.begin, directory.size, limit), path, ": zip directory of ",
             directory.size, " bytes at ", directory.begin, " is beyond the file");
    QE_CHECK(directory.size <= kMaxDirectory, path, ": zip directory of ", directory.size,
             " bytes is above the limit of ", kMaxDirectory);
    return directory;
  }

  std::string text(uint64_t at, size_t n_bytes) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + at, n_bytes};
  }

  Entry read_entry(uint64_t* at, uint64_t end) const {
    const std::string& path = file_.path();
    QE_CHECK(has(*at, kCentralBytes, end) && number<uint32_t>(*at) == kCentral, path,
             ": no entry of the zip directory at byte ", *at);
    const uint64_t begin = *at;
    const size_t n_name = number<uint16_t>(begin + 28);
    const size_t n_extra = number<uint16_t>(begin + 30);
    const size_t n_comment = number<uint16_t>(begin + 32);
    QE_CHECK(has(begin + kCentralBytes, n_name + n_extra + n_comment, end), path,
             ": the entry of the zip directory at byte ", begin, " is cut off");
    *at = begin + kCentralBytes + n_name + n_extra + n_comment;
    Entry entry{.name = text(begin + kCentralBytes, n_name),
                .stored = number<uint32_t>(begin + 20),
                .size = number<uint32_t>(begin + 24),
                .header = number<uint32_t>(begin + 42)};
    read_64(entry, begin + kCentralBytes + n_name, n_extra);
    const auto method = number<uint16_t>(begin + 10);
    QE_CHECK(method == 0, path, ": entry ", quote(entry.name), " is compressed (method ", method,
             "); torch.save stores its entries as they are");
    QE_CHECK((number<uint16_t>(begin + 8) & kEncrypted) == 0, path, ": entry ", quote(entry.name),
             " is encrypted");
    QE_CHECK(entry.stored == entry.size, path, ": entry ", quote(entry.name), " of ", entry.size,
             " bytes takes ", entry.stored);
    return entry;
  }

  // Sizes and offset that do not fit 32 bits stand in a field of their own, in this order.
  void read_64(Entry& entry, uint64_t at, size_t n_bytes) const {
    const uint64_t end = at + n_bytes;
    while (has(at, 4, end)) {
      const auto id = number<uint16_t>(at);
      const uint64_t field_end = at + 4 + number<uint16_t>(at + 2);
      at += 4;
      if (id != kId64 || field_end > end) {
        at = field_end;
        continue;
      }
      for (uint64_t* value : {&entry.size, &entry.stored, &entry.header}) {
        if (*value != kIn64) continue;
        QE_CHECK(has(at, 8, field_end), file_.path(), ": entry ", quote(entry.name),
                 ": its zip64 field is too short");
        *value = number<uint64_t>(at);
        at += 8;
      }
      return;
    }
  }

  std::span<const std::byte> data_of(const Entry& entry, uint64_t end) const {
    const std::string& path = file_.path();
    QE_CHECK(has(entry.header, kLocalBytes, end) && number<uint32_t>(entry.header) == kLocal, path,
             ": entry ", quote(entry.name), ": no header at byte ", entry.header);
    const size_t n_name = number<uint16_t>(entry.header + 26);
    const size_t n_extra = number<uint16_t>(entry.header + 28);
    const uint64_t begin = entry.header + kLocalBytes + n_name + n_extra;
    QE_CHECK(has(begin, entry.size, end), path, ": entry ", quote(entry.name), " of ", entry.size,
             " bytes at ", begin, " is beyond the file's data");
    QE_CHECK(text(entry.header + kLocalBytes, n_name) == entry.name, path, ": entry ",
             quote(entry.name), ": its header has another name");
    return bytes_.subspan(static_cast<size_t>(begin), static_cast<size_t>(entry.size));
  }

  const MappedFile& file_;
  std::span<const std::byte> bytes_;
};

}  // namespace

std::map<std::string, std::span<const std::byte>> read_zip_archive(const MappedFile& file) {
  return Reader(file).read();
}

}  // namespace qe
