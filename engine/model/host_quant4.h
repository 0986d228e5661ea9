// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// 4-bit weights in host memory of their own: on the way from a file to a device or another file.

#include <vector>

#include "formats/quant4_file.h"
#include "kernels/ops/quant4.h"

namespace qe {

/// How a weight is to be quantized.
struct Quant4Options {
  Quant4Type type = Quant4Type::kNf4;
  bool double_quant = true;
  int64_t block_size = 64;
};

class HostQuant4 {
 public:
  /// Quantizes w (N, K), F32, F16 or BF16, on the CPU; the same bytes on every machine. dtype: what
  /// dequantization rounds to. Throws Error as quantize4.
  HostQuant4(const Tensor& w, const Quant4Options& options, DType dtype, ThreadPool& threads);
  /// Copies a stored one.
  explicit HostQuant4(const StoredQuant4& stored);
  HostQuant4(const HostQuant4&) = delete;
  HostQuant4& operator=(const HostQuant4&) = delete;

  const Quant4Matrix& matrix() const { return q_; }
  /// The decoded values (N * K) in fp32, rounded to the matrix's dtype.
  std::vector<float> dequantized(ThreadPool& threads) const;
  /// As a file has it; a view of this object.
  StoredQuant4 stored() const;

 private:
  void allocate(bool nested);

  Quant4Matrix q_;
  std::vector<uint8_t> codes_, absmax_codes_;
  std::vector<float> absmax_;  // block scales, or scales of their codes
  std::vector<float> map_;
};

}  // namespace qe
