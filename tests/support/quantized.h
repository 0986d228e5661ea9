// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// An owner of 4-bit matrices for tests, on the tests' device.

#include <cmath>
#include <vector>

#include "kernels/ops/quant4.h"
#include "tests/support/op_context.h"

namespace qe::test {

inline List<float> dynamic_map() {
  List<float> map;
  for (int code = 0; code < 256; ++code) map.push_back(dynamic_map_value(code));
  return map;
}

/// A quantized matrix. The buffers begin as values that no quantization leaves.
struct Quantized {
  Quant4Matrix q;  ///< use view()
  List<uint8_t> codes, absmax_codes;
  List<float> absmax, nested_absmax, map;
  bool nested;

  Quantized(Quant4Type type, int64_t n, int64_t k, int64_t block_size, bool is_nested = false)
      : q{.type = type, .n = n, .k = k, .block_size = block_size},
        codes(static_cast<size_t>(q.n_code_bytes()), 0xee),
        map(dynamic_map()),
        nested(is_nested) {
    if (nested) {
      absmax_codes = List<uint8_t>(static_cast<size_t>(q.n_blocks()), 0xee);
      nested_absmax = List<float>(static_cast<size_t>(q.n_nested_blocks()), -1.0f);
    } else {
      absmax = List<float>(static_cast<size_t>(q.n_blocks()), -1.0f);
    }
  }
  Quantized(const Quantized&) = delete;
  Quantized& operator=(const Quantized&) = delete;

  /// For an op that reads or writes it.
  Quant4Matrix& view() {
    q.codes = codes.writable_span().data();
    if (nested) {
      q.absmax_codes = absmax_codes.writable_span().data();
      q.nested_absmax = nested_absmax.writable_span().data();
      q.nested_map = map.span().data();
    } else {
      q.absmax = absmax.writable_span().data();
    }
    return q;
  }
};

/// Elements of `data` as an (n, k) matrix on the tests' device.
template <class T>
Tensor matrix_of(List<T>& data, int64_t n, int64_t k, DType dtype = DType::kF32) {
  return make_tensor(data.writable_span().data(), n, k, dtype, device());
}

/// Quantizes the fp32 values of w into `out`.
inline void quantize(Quantized& out, const std::vector<float>& w, int n_threads = 1) {
  List<float> list(w);
  run_planned(n_threads,
              [&](Context& ctx) { quantize4(ctx, matrix_of(list, out.q.n, out.q.k), out.view()); });
}
/// The decoded values, in fp32.
inline std::vector<float> dequantize(const Quant4Matrix& q) {
  List<float> out(static_cast<size_t>(q.n * q.k), std::nanf(""));
  run_planned(1, [&](Context& ctx) { dequantize4(ctx, q, matrix_of(out, q.n, q.k)); });
  return out.host();
}

}  // namespace qe::test
