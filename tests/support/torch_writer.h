// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Zip archives and pickles in torch.save's manner, good ones and broken ones.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tensor_file.h"

namespace qe::test {

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct ZipEntry {
  std::string name, data;
  uint16_t method = 0, flags = 0;
  std::string local_name = {};                  ///< when it differs
  int64_t stored = -1, size = -1, header = -1;  ///< what the directory says, when it differs
  bool in_64 = false;                           ///< sizes and offset in the zip64 field
};
struct ZipFile {
  bool zip64 = false;  ///< with zip64's directory
  std::string comment = {};
  int64_t n_entries = -1, directory_size = -1, directory_begin = -1;  ///< when they differ
};

inline std::string zip_of(const std::vector<ZipEntry>& entries, const ZipFile& file = {}) {
  std::string out, directory;
  for (const ZipEntry& e : entries) {
    const auto header =
        static_cast<uint64_t>(e.header < 0 ? static_cast<int64_t>(out.size()) : e.header);
    const auto n = static_cast<int64_t>(e.data.size());
    const auto stored = static_cast<uint64_t>(e.stored < 0 ? n : e.stored);
    const auto size = static_cast<uint64_t>(e.size < 0 ? n : e.size);
    const std::string& local = e.local_name.empty() ? e.name : e.local_name;
    const auto in_32 = [&](uint64_t value) {
      return raw(e.in_64 ? 0xffffffffu : static_cast<uint32_t>(value));
    };
    // Another program's field comes first.
    const std::string extra = "FB" + raw(uint16_t{3}) + "ZZZ";
    const std::string extra_64 =
        e.in_64 ? raw(uint16_t{1}) + raw(uint16_t{24}) + raw(size) + raw(stored) + raw(header) : "";
    out += "PK\x03\x04" + raw(uint16_t{0}) + raw(e.flags) + raw(e.method) + std::string(16, '\0') +
           raw(static_cast<uint16_t>(local.size())) + raw(static_cast<uint16_t>(extra.size())) +
           local + extra + e.data;
    directory += "PK\x01\x02" + std::string(4, '\0') + raw(e.flags) + raw(e.method) +
                 std::string(8, '\0') + in_32(stored) + in_32(size) +
                 raw(static_cast<uint16_t>(e.name.size())) +
                 raw(static_cast<uint16_t>(extra.size() + extra_64.size())) +
                 std::string(10, '\0') + in_32(header) + e.name + extra + extra_64;
  }
  const auto pick = [](int64_t said, size_t is) {
    return said < 0 ? static_cast<uint64_t>(is) : static_cast<uint64_t>(said);
  };
  const uint64_t begin = pick(file.directory_begin, out.size());
  const uint64_t size = pick(file.directory_size, directory.size());
  const uint64_t n = pick(file.n_entries, entries.size());
  out += directory;
  if (file.zip64) {
    const uint64_t at = out.size();
    out += "PK\x06\x06" + raw(uint64_t{44}) + std::string(12, '\0') + raw(n) + raw(n) + raw(size) +
           raw(begin) + "PK\x06\x07" + raw(uint32_t{0}) + raw(at) + raw(uint32_t{1});
  }
  const auto in_32 = [&](uint64_t value) {
    return raw(file.zip64 ? 0xffffffffu : static_cast<uint32_t>(value));
  };
  const auto in_16 = raw(file.zip64 ? uint16_t{0xffff} : static_cast<uint16_t>(n));
  return out + "PK\x05\x06" + raw(uint32_t{0}) + in_16 + in_16 + in_32(size) + in_32(begin) +
         raw(static_cast<uint16_t>(file.comment.size())) + file.comment;
}

// Pieces of pickles of protocol 2.
inline std::string pickled(std::string_view text) {
  return "X" + raw(static_cast<uint32_t>(text.size())) + std::string(text);
}
inline std::string pickled(int64_t number) { return "\x8a\x08" + raw(number); }
inline std::string pickled_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string pickled_tuple(const std::vector<int64_t>& numbers) {
  std::string out = "(";
  for (const int64_t number : numbers) out += pickled(number);
  return out + "t";
}
inline std::string pickled_storage(const std::string& type, const std::string& key, int64_t n) {
  return "(" + pickled("storage") + pickled_global("torch", type) + pickled(key) + pickled("cpu") +
         pickled(n) + "tQ";
}
inline std::string pickled_tensor(const std::string& storage, int64_t offset,
                                  const std::vector<int64_t>& shape,
                                  const std::vector<int64_t>& strides) {
  return pickled_global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + pickled(offset) +
         pickled_tuple(shape) + pickled_tuple(strides) + "\x89" +
         pickled_global("collections", "OrderedDict") + ")RtR";
}
/// A pickle whose root is a dict of these pickled keys and values.
inline std::string pickled_dict(const std::string& items) { return "\x80\x02}(" + items + "u."; }

/// torch.save's archive of a pickle and the storages "0", "1" ...
inline std::vector<ZipEntry> torch_entries(const std::string& pickle,
                                           const std::vector<std::string>& storages) {
  std::vector<ZipEntry> entries = {{.name = "archive/data.pkl", .data = pickle},
                                   {.name = "archive/byteorder", .data = "little"}};
  for (size_t i = 0; i < storages.size(); ++i) {
    entries.push_back({.name = "archive/data/" + std::to_string(i), .data = storages[i]});
  }
  entries.push_back({.name = "archive/version", .data = "3\n"});
  return entries;
}

/// The bytes of a torch.save of these tensors.
inline std::string torch_file_of(const std::map<std::string, StoredTensor>& tensors) {
  static const std::map<DType, std::string> kTypes = {{DType::kF32, "FloatStorage"},
                                                      {DType::kF16, "HalfStorage"},
                                                      {DType::kBF16, "BFloat16Storage"},
                                                      {DType::kI64, "LongStorage"},
                                                      {DType::kU8, "ByteStorage"}};
  std::string items;
  std::vector<std::string> storages;
  for (const auto& [name, tensor] : tensors) {
    std::vector<int64_t> strides(tensor.shape.size());
    int64_t stride = 1;
    for (size_t i = strides.size(); i-- > 0; stride *= tensor.shape[i]) strides[i] = stride;
    items += pickled(name) +
             pickled_tensor(pickled_storage(kTypes.at(tensor.dtype),
                                            std::to_string(storages.size()), tensor.n_elements()),
                            0, tensor.shape, strides);
    storages.emplace_back(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  }
  return zip_of(torch_entries(pickled_dict(items), storages));
}

}  // namespace qe::test
