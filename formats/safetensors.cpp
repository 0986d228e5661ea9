// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "formats/atomic_write.h"
#include "formats/json.h"
#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // the reference library's cap
constexpr const char* kMetadata = "__metadata__";

/// The header's JSON, and where the data begins.
struct Header {
  Json json;
  uint64_t data_begin;
};
Header read_header(const MappedFile& file) {
  const std::string& path = file.path();
  const std::span<const std::byte> bytes = file.bytes();
  QE_CHECK(bytes.size() >= kLengthBytes, path, ": ", bytes.size(),
           " bytes are too few for a safetensors file (8 bytes of header length)");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  QE_CHECK(length <= kMaxHeader, path, ": header length ", length, " is above the limit of ",
           kMaxHeader, "; not a safetensors file?");
  QE_CHECK(length <= bytes.size() - kLengthBytes, path, ": header length ", length, ", but only ",
           bytes.size() - kLengthBytes, " bytes follow; truncated file?");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                              static_cast<size_t>(length));
  QE_CHECK(text.starts_with('{'), path, ": the header does not start with '{'");
  return {Json::parse(text, path + ": header"), kLengthBytes + length};
}

/// One entry of the header, against a file with `n_data` bytes of data.
StoredTensor read_entry(const std::string& name, const Json& entry,
                        std::span<const std::byte> data) {
  StoredTensor tensor;
  tensor.name = name;
  const std::string& dtype = entry.at("dtype").as_string();
  try {
    tensor.dtype = dtype_from_name(dtype);
  } catch (const Error& error) {
    fail(entry.where(), ": ", error.what());
  }
  for (const Json& dimension : entry.at("shape").items()) {
    const int64_t size = dimension.as_int();
    QE_CHECK(size >= 0, dimension.where(), ": negative dimension ", size);
    tensor.shape.push_back(size);
  }
  const Json& offsets = entry.at("data_offsets");
  QE_CHECK(offsets.items().size() == 2, offsets.where(), ": expected [begin, end], got ",
           offsets.items().size(), " values");
  const int64_t begin = offsets.items()[0].as_int();
  const int64_t end = offsets.items()[1].as_int();
  QE_CHECK(begin >= 0 && begin <= end, offsets.where(), ": begin ", begin, ", end ", end,
           " is no range");
  QE_CHECK(static_cast<uint64_t>(end) <= data.size(), offsets.where(), ": end ", end,
           " is beyond the ", data.size(), " bytes of data; truncated file?");
  int64_t n_bytes = 0;
  QE_CHECK(size_of(tensor.shape, tensor.dtype, &n_bytes), entry.where(), ": shape ",
           shape_text(tensor.shape), " overflows");
  QE_CHECK(n_bytes == end - begin, entry.where(), ": ", dtype_name(tensor.dtype), " ",
           shape_text(tensor.shape), " takes ", n_bytes, " bytes, data_offsets give ", end - begin);
  tensor.bytes = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(n_bytes));
  return tensor;
}

/// Every byte of data must belong to exactly one tensor.
void check_coverage(const std::map<std::string, StoredTensor>& tensors,
                    std::span<const std::byte> data, const std::string& path) {
  std::vector<const StoredTensor*> order;
  for (const auto& [name, tensor] : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return std::pair(a->bytes.data(), a->bytes.size()) <
           std::pair(b->bytes.data(), b->bytes.size());
  });
  size_t covered = 0;
  for (const StoredTensor* tensor : order) {
    const auto begin = static_cast<size_t>(tensor->bytes.data() - data.data());
    QE_CHECK(begin >= covered, path, ": tensor ", quote(tensor->name), " at byte ", begin,
             " of the data overlaps the one before, which ends at ", covered);
    QE_CHECK(begin == covered, path, ": bytes ", covered, " to ", begin,
             " of the data belong to no tensor (before ", quote(tensor->name), ")");
    covered = begin + tensor->bytes.size();
  }
  QE_CHECK(covered == data.size(), path, ": the last ", data.size() - covered,
           " bytes of the data belong to no tensor");
}

/// Position in the reference library's list of types, by which (descending) its writer sorts.
int writer_rank(DType dtype) {
  static constexpr std::array kOrder = {
      DType::kBool, DType::kU8,  DType::kI8,  DType::kI16, DType::kU16, DType::kF16, DType::kBF16,
      DType::kI32,  DType::kU32, DType::kF32, DType::kF64, DType::kI64, DType::kU64};
  return static_cast<int>(std::find(kOrder.begin(), kOrder.end(), dtype) - kOrder.begin());
}

/// Sorts the tensors and returns the header's JSON, padded, for data in that order.
std::string make_header(const std::string& path, std::vector<TensorToWrite>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    const int rank_a = writer_rank(a.dtype), rank_b = writer_rank(b.dtype);
    return rank_a != rank_b ? rank_a > rank_b : a.name < b.name;
  });
  std::string header = R"({"__metadata__":{"format":"pt"})";
  int64_t offset = 0;
  std::map<std::string, int> seen;
  for (const TensorToWrite& tensor : tensors) {
    QE_CHECK(tensor.name != kMetadata && seen[tensor.name]++ == 0, path, ": tensor name ",
             quote(tensor.name), " is reserved or given twice");
    int64_t n_bytes = 0;
    const bool negative =
        std::any_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t d) { return d < 0; });
    QE_CHECK(!negative && size_of(tensor.shape, tensor.dtype, &n_bytes), path, ": tensor ",
             quote(tensor.name), ": impossible shape ", shape_text(tensor.shape));
    QE_CHECK(n_bytes == 0 || tensor.data || tensor.produce, path, ": tensor ", quote(tensor.name),
             " has no data");
    const int64_t begin = offset;
    QE_CHECK(!__builtin_add_overflow(offset, n_bytes, &offset), path, ": sizes overflow");
    std::string shape;
    for (const int64_t d : tensor.shape) shape += cat(shape.empty() ? "" : ",", d);
    header += cat(',', Json(tensor.name).dump(), R"(:{"dtype":")", dtype_name(tensor.dtype),
                  R"(","shape":[)", shape, R"(],"data_offsets":[)", begin, ',', offset, "]}");
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  QE_CHECK(header.size() <= kMaxHeader, path, ": header of ", header.size(),
           " bytes is above the limit of ", kMaxHeader);
  return header;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : TensorFile(path) {
  const Header header = read_header(file_);
  const std::span<const std::byte> data =
      file_.bytes().subspan(static_cast<size_t>(header.data_begin));
  for (const auto& [name, entry] : header.json.members()) {
    if (name == kMetadata) {
      for (const auto& [key, value] : entry.members()) metadata_[key] = value.as_string();
      continue;
    }
    StoredTensor tensor = read_entry(name, entry, data);
    tensor.file = &file_.path();
    tensors_.emplace(name, std::move(tensor));
  }
  check_coverage(tensors_, data, path);
}

void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors) {
  const std::string header = make_header(path, tensors);
  write_file_atomically(path, [&](const Append& append) {
    const uint64_t length = header.size();
    append(std::as_bytes(std::span(&length, 1)));
    append(std::as_bytes(std::span(header.data(), header.size())));
    for (const TensorToWrite& tensor : tensors) {
      int64_t n_bytes = 0;
      size_of(tensor.shape, tensor.dtype, &n_bytes);
      if (!tensor.produce) {
        append({static_cast<const std::byte*>(tensor.data), static_cast<size_t>(n_bytes)});
        continue;
      }
      int64_t n_produced = 0;
      tensor.produce([&](std::span<const std::byte> bytes) {
        n_produced += static_cast<int64_t>(bytes.size());
        append(bytes);
      });
      QE_CHECK(n_produced == n_bytes, path, ": tensor ", quote(tensor.name), ": expected ", n_bytes,
               " bytes, got ", n_produced);
    }
  });
}

}  // namespace qe
