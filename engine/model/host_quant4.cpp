// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/host_quant4.h"

#include <cstring>

#include "engine/memory/planning.h"

namespace qe {
namespace {

template <class T>
void copy(std::span<const std::byte> from, std::vector<T>& to) {
  QE_CHECK(from.size() == to.size() * sizeof(T), "a 4-bit weight's part of ", from.size(),
           " bytes, expected ", to.size() * sizeof(T));
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

}  // namespace

HostQuant4::HostQuant4(const Tensor& w, const Quant4Options& options, DType dtype,
                       ThreadPool& threads)
    : q_{.type = options.type,
         .n = w.rows,
         .k = w.cols,
         .block_size = options.block_size,
         .dtype = dtype} {
  allocate(options.double_quant);
  for (size_t i = 0; i < map_.size(); ++i) map_[i] = dynamic_map_value(static_cast<int>(i));
  run_on_host(threads, [&](Context& ctx) { quantize4(ctx, w, q_); });
}

HostQuant4::HostQuant4(const StoredQuant4& stored)
    : q_{.type = stored.type,
         .n = stored.n,
         .k = stored.k,
         .block_size = stored.block_size,
         .dtype = stored.dtype} {
  allocate(stored.nested());
  copy(stored.codes, codes_);
  copy(stored.absmax_u8, absmax_codes_);
  copy(stored.nested() ? stored.nested_absmax : stored.absmax, absmax_);
  copy(stored.nested_map, map_);
  q_.nested_offset = stored.nested_offset;
}

void HostQuant4::allocate(bool nested) {
  codes_.resize(static_cast<size_t>(q_.n_code_bytes()));
  q_.codes = codes_.data();
  absmax_.resize(static_cast<size_t>(nested ? q_.n_nested_blocks() : q_.n_blocks()));
  if (!nested) {
    q_.absmax = absmax_.data();
    return;
  }
  absmax_codes_.resize(static_cast<size_t>(q_.n_blocks()));
  map_.resize(256);
  q_.absmax_codes = absmax_codes_.data();
  q_.nested_absmax = absmax_.data();
  q_.nested_map = map_.data();
}

std::vector<float> HostQuant4::dequantized(ThreadPool& threads) const {
  std::vector<float> values(static_cast<size_t>(q_.n * q_.k));
  run_on_host(threads,
              [&](Context& ctx) { dequantize4(ctx, q_, make_tensor(values.data(), q_.n, q_.k)); });
  return values;
}

StoredQuant4 HostQuant4::stored() const {
  StoredQuant4 stored{.type = q_.type,
                      .n = q_.n,
                      .k = q_.k,
                      .block_size = q_.block_size,
                      .dtype = q_.dtype,
                      .codes = std::as_bytes(std::span(codes_)),
                      .nested_offset = q_.nested_offset};
  if (q_.nested()) {
    stored.absmax_u8 = std::as_bytes(std::span(absmax_codes_));
    stored.nested_absmax = std::as_bytes(std::span(absmax_));
    stored.nested_map = std::as_bytes(std::span(map_));
  } else {
    stored.absmax = std::as_bytes(std::span(absmax_));
  }
  return stored;
}

}  // namespace qe
