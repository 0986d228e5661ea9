// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/tensor_source.h"

#include <algorithm>
#include <cstring>

#include "engine/model/name_hash.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

// Two uniform values in [-limit, limit) for every 64-bit counter (splitmix64's finalizer).
void fill_uniform(uint64_t stream, float limit, int64_t begin, int64_t end, float* out) {
  const float unit = limit * 0x1p-31f;
  for (int64_t i = begin; i < end; i += 2) {
    uint64_t z = stream + static_cast<uint64_t>(i / 2) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    out[i] = static_cast<float>(static_cast<int32_t>(z)) * unit;
    if (i + 1 < end) out[i + 1] = static_cast<float>(static_cast<int32_t>(z >> 32)) * unit;
  }
}

}  // namespace

std::string canonical_tensor_name(const Family& family, const std::string& stored) {
  const std::optional<std::string_view> weight = quant4_weight_of(stored);
  if (!weight) return family.canonical_name(stored);
  const std::string canonical = family.canonical_name(std::string(*weight));
  return canonical.empty() ? canonical : canonical + stored.substr(weight->size());
}

StoredTensor part_of(const StoredTensor& tensor, size_t n, size_t n_parts,
                     const std::string& name) {
  const auto parts = static_cast<int64_t>(n_parts);
  QE_CHECK(tensor.shape.size() == 2 && tensor.shape[0] % parts == 0, *tensor.file, ": tensor \"",
           tensor.name, "\": expected ", n_parts, " matrices, one above the other");
  StoredTensor part = tensor;
  part.name = name;
  part.shape[0] /= parts;
  const size_t n_bytes = tensor.bytes.size() / n_parts;
  part.bytes = tensor.bytes.subspan(n * n_bytes, n_bytes);
  return part;
}

FolderTensors::FolderTensors(const std::string& folder, const Family& family) : files_(folder) {
  for (const auto& [name, tensor] : files_.tensors()) {
    const std::string canonical = canonical_tensor_name(family, name);
    if (!canonical.empty()) add_parts(canonical, *tensor);
  }
}

void FolderTensors::add_parts(const std::string& canonical, const StoredTensor& tensor) {
  const std::vector<std::string> names = split_name(canonical);
  if (names.size() == 1) {
    tensors_.emplace(canonical, &tensor);
    return;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    parts_.push_back(std::make_unique<StoredTensor>(part_of(tensor, i, names.size(), tensor.name)));
    tensors_.emplace(names[i], parts_.back().get());
  }
}

const StoredTensor* FolderTensors::find(const std::string& name, const std::vector<int64_t>&) {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

std::optional<StoredQuant4> FolderTensors::find_quantized(const std::string& name) const {
  return find_quant4(
      [this](const std::string& part) {
        const auto found = tensors_.find(part);
        return found == tensors_.end() ? nullptr : found->second;
      },
      name);
}

bool FolderTensors::holds_different(const std::string& a, const std::string& b) const {
  const auto first = tensors_.find(a), second = tensors_.find(b);
  if (first == tensors_.end() || second == tensors_.end()) return false;
  const StoredTensor& x = *first->second;
  const StoredTensor& y = *second->second;
  if (x.dtype != y.dtype || x.shape != y.shape) return true;
  if (x.bytes.empty() || x.bytes.data() == y.bytes.data()) return false;
  return std::memcmp(x.bytes.data(), y.bytes.data(), x.bytes.size()) != 0;
}

const StoredTensor* RandomTensors::find(const std::string& name,
                                        const std::vector<int64_t>& shape) {
  tensor_ = StoredTensor{.name = name, .dtype = DType::kF32, .shape = shape, .file = &name_};
  if (planning_) return &tensor_;
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  values_.resize(static_cast<size_t>(n));
  float* const out = values_.data();
  if (shape.size() == 1 && name.ends_with(".weight")) {
    std::fill_n(out, n, 1.0f);
  } else {
    constexpr float kLimit = 0.034641016f;  // 0.02 * sqrt(3)
    constexpr int64_t kPerTask = 1 << 18;
    const uint64_t stream = name_hash(name) ^ seed_;
    ctx_.threads->run((n + kPerTask - 1) / kPerTask, [&](int64_t task, int) {
      const int64_t begin = task * kPerTask;
      fill_uniform(stream, kLimit, begin, std::min(begin + kPerTask, n), out);
    });
  }
  tensor_.bytes = std::as_bytes(std::span(values_));
  return &tensor_;
}

}  // namespace qe
