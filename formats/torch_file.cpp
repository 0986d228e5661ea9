// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/torch_file.h"

#include <cstring>

#include "formats/quote.h"
#include "formats/zip_archive.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

using Kind = TorchPickle::Kind;

/// How a file of before torch 1.6 begins: the pickles of a magic number and of its version, 1001.
constexpr std::string_view kLegacy(
    "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8\x50\x19."
    "\x80\x02M\xe9\x03.",
    21);
/// How much larger than the file its tensors may be together: some layers share their weights.
constexpr uint64_t kMaxSharing = 64;
constexpr std::string_view kTar = "ustar";
constexpr size_t kTarAt = 257;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

int64_t storage_bytes(const TorchPickle::Storage& storage, const std::string& path) {
  const std::array<int64_t, 1> shape = {storage.n_elements};
  int64_t n_bytes = 0;
  QE_CHECK(size_of(shape, storage.dtype, &n_bytes), path, ": storage ", quote(storage.key), " of ",
           storage.n_elements, " elements overflows");
  return n_bytes;
}

/// The archive's one folder: "archive/" or, in older files, the file's name.
std::string folder_of(const std::map<std::string, std::span<const std::byte>>& entries,
                      const std::string& path) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::string folder;
  for (const auto& [name, data] : entries) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || std::string_view(name).substr(slash) != kPickle) continue;
    QE_CHECK(folder.empty(), path, ": two pickles, ", quote(folder + "data.pkl"), " and ",
             quote(name));
    folder = name.substr(0, slash + 1);
  }
  QE_CHECK(!folder.empty(), path, ": a zip archive, but none of torch.save's: it has no data.pkl");
  QE_CHECK(entries.count(folder + "constants.pkl") == 0, path,
           ": is a TorchScript program; expected a state dict (torch.save)");
  return folder;
}

/// Whether elements lie one after the other in C order.
bool is_contiguous(const TorchPickle::Tensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.rank; i-- > 0;) {
    if (tensor.shape[i] == 1) continue;
    if (tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];  // the caller has checked that it does not overflow
  }
  return true;
}

/// The last element that a view with at least one reaches, counted from its storage's beginning;
/// -1 when there is none such.
int64_t last_element(const TorchPickle::Tensor& tensor) {
  int64_t last = tensor.offset;
  for (size_t i = 0; i < tensor.rank; ++i) {
    int64_t reach = 0;
    if (tensor.strides[i] < 0 || last < 0 ||
        __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return -1;
    }
  }
  return last;
}

}  // namespace

TorchFile::TorchFile(const std::string& path) : TensorFile(path) {
  const std::string_view text = text_of(file_.bytes());
  if (text.starts_with("PK")) {
    read_archive();
  } else if (text.starts_with(kLegacy)) {
    read_legacy(text);
  } else {
    QE_CHECK(text.size() <= kTarAt || !text.substr(kTarAt).starts_with(kTar), path,
             ": is a tar archive, as torch.save wrote before 2017; save the model again");
    fail(path, ": expected what torch.save writes (a zip archive, or pickles that begin with its ",
         "magic number), got ", text.size(), " bytes that begin with ", quote(text.substr(0, 16)));
  }
}

void TorchFile::read_archive() {
  const std::string& path = file_.path();
  const auto entries = read_zip_archive(file_);
  const std::string folder = folder_of(entries, path);
  if (const auto order = entries.find(folder + "byteorder"); order != entries.end()) {
    QE_CHECK(text_of(order->second) == "little", path, ": byte order ",
             quote(text_of(order->second)), ", only little-endian files are read");
  }
  const TorchPickle pickle(text_of(entries.at(folder + "data.pkl")), path);
  QE_CHECK(pickle.rest().empty(), path, ": ", pickle.rest().size(), " bytes follow the pickle");
  StorageBytes storages;
  for (const TorchPickle::Storage& storage : pickle.storages()) {
    const auto entry = entries.find(cat(folder, "data/", storage.key));
    QE_CHECK(entry != entries.end(), path, ": no entry ", quote(cat(folder, "data/", storage.key)),
             " in the archive");
    const int64_t expected = storage_bytes(storage, path);
    QE_CHECK(static_cast<uint64_t>(expected) == entry->second.size(), path, ": entry ",
             quote(entry->first), ": expected ", storage.n_elements, " of ",
             dtype_name(storage.dtype), ", got ", entry->second.size(), " bytes");
    storages.push_back(entry->second);
  }
  add_tensors(pickle, storages);
}

// Pickles of: system, state dict, keys of the storages; then for every key the number of elements
// (int64) and the elements.
void TorchFile::read_legacy(std::string_view text) {
  const std::string& path = file_.path();
  const TorchPickle system(text.substr(kLegacy.size()), path);
  QE_CHECK(system.root().kind == Kind::kDict, path, ": expected a dict of the system, got ",
           TorchPickle::kind_name(system.root().kind));
  const auto facts = system.items(system.root());
  for (size_t i = 0; i + 1 < facts.size(); i += 2) {
    if (facts[i].kind != Kind::kText || system.text(facts[i]) != "little_endian") continue;
    QE_CHECK(facts[i + 1].kind == Kind::kBool && facts[i + 1].number == 1, path,
             ": only little-endian files are read");
  }
  const TorchPickle pickle(system.rest(), path);
  const TorchPickle keys(pickle.rest(), path);
  QE_CHECK(keys.root().kind == Kind::kList, path, ": expected a list of storages, got ",
           TorchPickle::kind_name(keys.root().kind));

  std::map<std::string_view, size_t> index;
  for (size_t i = 0; i < pickle.storages().size(); ++i) index[pickle.storages()[i].key] = i;
  StorageBytes storages(index.size());
  std::string_view rest = keys.rest();
  for (const TorchPickle::Value& key : keys.items(keys.root())) {
    QE_CHECK(key.kind == Kind::kText, path, ": expected the name of a storage, got ",
             TorchPickle::kind_name(key.kind));
    const auto found = index.find(keys.text(key));
    QE_CHECK(found != index.end(), path, ": storage ", quote(keys.text(key)),
             " belongs to no tensor, or is there twice");
    const TorchPickle::Storage& storage = pickle.storages()[found->second];
    const int64_t n_bytes = storage_bytes(storage, path);
    int64_t n_elements = -1;
    if (rest.size() >= sizeof n_elements) {
      std::memcpy(&n_elements, rest.data(), sizeof n_elements);
      rest.remove_prefix(sizeof n_elements);
    }
    QE_CHECK(n_elements == storage.n_elements && static_cast<uint64_t>(n_bytes) <= rest.size(),
             path, ": storage ", quote(storage.key), ": expected ", storage.n_elements, " of ",
             dtype_name(storage.dtype), ", got ", n_elements, " and ", rest.size(),
             " bytes to the end; truncated file?");
    storages[found->second] = std::as_bytes(std::span(rest.data(), static_cast<size_t>(n_bytes)));
    rest.remove_prefix(static_cast<size_t>(n_bytes));
    index.erase(found);
  }
  QE_CHECK(index.empty(), path, ": no data of storage ", quote(index.begin()->first));
  QE_CHECK(rest.empty(), path, ": ", rest.size(), " bytes follow the last storage");
  add_tensors(pickle, storages);
}

void TorchFile::add_tensors(const TorchPickle& pickle, const StorageBytes& storages) {
  const std::string& path = file_.path();
  const TorchPickle::Value& root = pickle.root();
  QE_CHECK(root.kind == Kind::kDict, path, ": expected a dict of tensors, got ",
           TorchPickle::kind_name(root.kind));
  const std::span<const TorchPickle::Value> items = pickle.items(root);
  uint64_t n_bytes = 0;
  for (size_t i = 0; i < items.size(); i += 2) {
    QE_CHECK(items[i].kind == Kind::kText, path, ": expected the name of a tensor, got ",
             TorchPickle::kind_name(items[i].kind));
    const std::string_view name = pickle.text(items[i]);
    QE_CHECK(items[i + 1].kind == Kind::kTensor, path, ": ", quote(name),
             ": expected a tensor, got ", TorchPickle::kind_name(items[i + 1].kind));
    const TorchPickle::Tensor& pickled = pickle.tensor(items[i + 1]);
    const std::string where = cat(path, ": tensor ", quote(name));
    StoredTensor tensor{.name = std::string(name),
                        .dtype = pickle.storages()[pickled.storage].dtype,
                        .shape = {pickled.shape.begin(), pickled.shape.begin() + pickled.rank},
                        .bytes = {},
                        .file = &path};
    tensor.bytes = view(pickled, tensor.dtype, storages[pickled.storage], where);
    n_bytes += tensor.bytes.size();
    QE_CHECK(n_bytes / kMaxSharing <= file_.bytes().size(), path, ": tensors that share storages ",
             "add up to more than ", kMaxSharing, " times the file's ", file_.bytes().size(),
             " bytes");
    const bool added = tensors_.emplace(tensor.name, std::move(tensor)).second;
    QE_CHECK(added, where, " is there twice");
  }
}

std::span<const std::byte> TorchFile::view(const TorchPickle::Tensor& tensor, DType dtype,
                                           std::span<const std::byte> storage,
                                           const std::string& where) {
  const std::span<const int64_t> shape(tensor.shape.data(), tensor.rank);
  const std::span<const int64_t> strides(tensor.strides.data(), tensor.rank);
  bool is_empty = false;
  for (const int64_t dimension : shape) {
    QE_CHECK(dimension >= 0, where, ": negative dimension ", dimension);
    is_empty |= dimension == 0;
  }
  if (is_empty) return {};
  const auto element_size = static_cast<int64_t>(dtype_size(dtype));
  const int64_t n_elements = static_cast<int64_t>(storage.size()) / element_size;
  const int64_t last = last_element(tensor);
  QE_CHECK(tensor.offset >= 0 && last >= 0 && last < n_elements, where, ": shape ",
           shape_text(shape), " with strides ", shape_text(strides), " from element ",
           tensor.offset, " is beyond its storage of ", n_elements, " elements");
  int64_t n_bytes = 0;
  QE_CHECK(size_of(shape, dtype, &n_bytes), where, ": shape ", shape_text(shape), " overflows");
  if (is_contiguous(tensor)) {
    return storage.subspan(static_cast<size_t>(tensor.offset * element_size),
                           static_cast<size_t>(n_bytes));
  }
  return copy(tensor, static_cast<size_t>(element_size), storage, n_bytes, where);
}

std::span<const std::byte> TorchFile::copy(const TorchPickle::Tensor& tensor, size_t element_size,
                                           std::span<const std::byte> storage, int64_t n_bytes,
                                           const std::string& where) {
  const size_t n_free = file_.bytes().size() - n_copied_;
  QE_CHECK(static_cast<uint64_t>(n_bytes) <= n_free, where, ": a view of ", n_bytes,
           " bytes with strides: such views take more memory than the file has bytes");
  n_copied_ += static_cast<size_t>(n_bytes);
  std::vector<std::byte>& out = copies_.emplace_back(static_cast<size_t>(n_bytes));
  std::array<int64_t, TorchPickle::kMaxRank> index = {};
  int64_t element = tensor.offset;
  for (size_t to = 0; to < out.size(); to += element_size) {
    std::memcpy(&out[to], &storage[static_cast<size_t>(element) * element_size], element_size);
    for (size_t i = tensor.rank; i-- > 0;) {
      element += tensor.strides[i];
      if (++index[i] < tensor.shape[i]) break;
      element -= tensor.shape[i] * tensor.strides[i];
      index[i] = 0;
    }
  }
  return out;
}

}  // namespace qe
