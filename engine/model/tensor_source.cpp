// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/tensor_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/model/name_hash.h"
#include "kernels/core/error.h"
#include "kernels/ops/random.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

constexpr float kLimit = 0.034641016f;  // 0.02 * sqrt(3)

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

std::vector<std::byte> bytes_of(const std::vector<float>& values, DType dtype,
                                const std::string& what) {
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  const auto check = [&](float stored, size_t i) {
    QE_CHECK(std::isfinite(stored), what, ": element ", i, " is ", values[i],
             ", which is no finite value in ", dtype_name(dtype));
  };
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      check(values[i], i);
      std::memcpy(&bytes[i * 4], &values[i], 4);
      continue;
    }
    const uint16_t half = dtype == DType::kBF16 ? to_bf16(values[i]) : to_f16(values[i]);
    check(dtype == DType::kBF16 ? from_bf16(half) : from_f16(half), i);
    std::memcpy(&bytes[i * 2], &half, 2);
  }
  return bytes;
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
  return &tensor_;
}

uint64_t RandomTensors::stream_of(const StoredTensor& tensor) const {
  return name_hash(tensor.name) ^ seed_;
}

const StoredTensor& RandomTensors::read(const StoredTensor& found) {
  if (planning_) return found;
  int64_t n = 1;
  for (const int64_t size : found.shape) n *= size;
  values_.resize(static_cast<size_t>(n));
  if (found.shape.size() == 1 && found.name.ends_with(".weight")) {
    std::fill(values_.begin(), values_.end(), 1.0f);
  } else {
    Context host{.threads = ctx_.threads};
    random_uniform(host, stream_of(found), kLimit, make_tensor(values_.data(), 1, n));
  }
  tensor_.bytes = std::as_bytes(std::span(values_));
  return tensor_;
}

bool RandomTensors::make(const StoredTensor& found, Context& ctx, const Tensor& out) {
  if (ctx.device.kind == DeviceKind::kCpu) return false;
  random_uniform(ctx, stream_of(found), kLimit, out);
  return true;
}

// Scales of about kLimit, as quantized values would have them, each with a code of its own.
bool RandomTensors::make(const StoredTensor& found, Context& ctx, Quant4Matrix& out) {
  if (ctx.device.kind == DeviceKind::kCpu) return false;
  const auto bytes = [&](uint64_t i, uint8_t* data, int64_t n) {
    random_bytes(ctx, stream_of(found) + i, {data, static_cast<size_t>(n)});
  };
  bytes(0, out.codes, out.n_code_bytes());
  if (!out.nested()) {
    random_uniform(ctx, stream_of(found) + 1, kLimit,
                   make_tensor(out.absmax, 1, out.n_blocks(), DType::kF32, ctx.device));
    return true;
  }
  bytes(1, out.absmax_codes, out.n_blocks());
  const std::vector<float> spread(static_cast<size_t>(out.n_nested_blocks()), kLimit / 16);
  copy_bytes(ctx, out.nested_absmax, spread.data(), spread.size() * sizeof(float));
  out.nested_offset = kLimit;
  return true;
}

}  // namespace qe
