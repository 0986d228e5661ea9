// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// 4-bit encoding and decoding, compiled once per instruction set (simd.h has the rules).

#include "kernels/cpu/quant4_kernel.h"

#include "kernels/cpu/quant4_decode.h"
#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {
namespace {

QE_INLINE int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }

QE_INLINE Vec load_any(const void* data, DType dtype, int64_t at, int64_t count) {
  if (dtype == DType::kF32) {
    const float* p = static_cast<const float*>(data) + at;
    return count == kLanes ? load(p) : load_first(p, count);
  }
  const uint16_t* p = static_cast<const uint16_t*>(data) + at;
  if (dtype == DType::kF16) return count == kLanes ? load_f16(p) : load_f16_first(p, count);
  return count == kLanes ? load_bf16(p) : load_bf16_first(p, count);
}

// How many of the ascending thresholds lie below x (strictly: a tie takes the lower code).
template <int N>
QE_INLINE Int count_below(Vec x, const float (&thresholds)[N]) {
  Int count = set_int(0);
  for (int i = 0; i < N; ++i) count = count - truth_int(less(set(thresholds[i]), x));
  return count;
}

QE_INLINE Int encode_nf4(Vec x) { return count_below(x, kNf4Thresholds); }

QE_INLINE Int encode_fp4(Vec x) {
  uint32_t rank[kLanes];
  store_int(rank, count_below(abs(x), kFp4Thresholds));
  for (uint32_t& code : rank) code = kFp4CodeOfRank[code];
  return load_int(rank) | (truth_int(less(x, zero())) & set_int(8u));
}

// Two codes a byte, the first one in the high nibble.
QE_INLINE void store_codes(uint8_t* out, Int codes, int64_t count) {
  uint32_t lane[kLanes];
  store_int(lane, codes);
  for (int64_t j = 0; j < count; j += 2) {
    out[j / 2] = static_cast<uint8_t>(lane[j] << 4 | lane[j + 1]);
  }
}

int64_t first_not_finite(const Quant4Encode& args, int64_t begin, int64_t end) {
  for (int64_t at = begin; at < end; at += kLanes) {
    const uint32_t bad =
        mask_bits(not_finite(load_any(args.w, args.dtype, at, at_most(end - at, kLanes))));
    if (bad != 0) return at + __builtin_ctz(bad);
  }
  return -1;
}

}  // namespace

int64_t quant4_encode_blocks(const Quant4Encode& args, int64_t block_begin, int64_t block_end) {
  for (int64_t block = block_begin; block < block_end; ++block) {
    const int64_t begin = block * args.block_size;
    const int64_t end = at_most(begin + args.block_size, args.n);
    Vec largest = zero();
    Mask bad = less(zero(), zero());
    for (int64_t at = begin; at < end; at += kLanes) {
      const Vec w = load_any(args.w, args.dtype, at, at_most(end - at, kLanes));
      largest = max(largest, abs(w));
      bad = mask_or(bad, not_finite(w));
    }
    if (mask_bits(bad) != 0) return first_not_finite(args, begin, end);
    const float absmax = reduce_max(largest);
    args.absmax[block] = absmax;
    const Vec reciprocal = set(1.0f / absmax);
    for (int64_t at = begin; at < end; at += kLanes) {
      const int64_t count = at_most(end - at, kLanes);
      const Vec w = load_any(args.w, args.dtype, at, count);
      // The reciprocal of 0 and of some subnormals is infinite; zeros stay zeros all the same.
      const Vec x = select(equal(w, zero()), zero(), w * reciprocal);
      store_codes(args.codes + at / 2,
                  args.type == Quant4Type::kNf4 ? encode_nf4(x) : encode_fp4(x), count);
    }
  }
  return -1;
}

namespace {

QE_INLINE void store_any(void* out, DType dtype, int64_t at, Vec value, int64_t count) {
  if (dtype == DType::kF32) {
    store_first(static_cast<float*>(out) + at, value, count);
    return;
  }
  float lane[kLanes];
  store(lane, value);
  uint16_t* to = static_cast<uint16_t*>(out) + at;
  for (int64_t i = 0; i < count; ++i) {
    to[i] = dtype == DType::kF16 ? to_f16(lane[i]) : to_bf16(lane[i]);
  }
}

template <DType kRound>
void decode_range(const Quant4View& q, int64_t begin, int64_t end, void* out, DType out_dtype) {
  const Quant4Decoder<kRound> source(q);
  constexpr int64_t kPair = 2 * kLanes;
  int64_t at = begin;
  while (at < end && at % kPair != 0) {
    const int64_t count = at_most(at_most(end - at, kPair - at % kPair), kLanes);
    store_any(out, out_dtype, at, source.any(at, count), count);
    at += count;
  }
  for (; end - at >= kPair; at += kPair) {
    Vec a, b;
    source.pair(at, a, b);
    store_any(out, out_dtype, at, a, kLanes);
    store_any(out, out_dtype, at + kLanes, b, kLanes);
  }
  for (; at < end; at += kLanes) {
    const int64_t count = at_most(end - at, kLanes);
    store_any(out, out_dtype, at, source.any(at, count), count);
  }
}

}  // namespace

void quant4_decode_range(const Quant4View& q, int64_t begin, int64_t end, void* out,
                         DType out_dtype) {
  if (q.dtype == DType::kF16) return decode_range<DType::kF16>(q, begin, end, out, out_dtype);
  if (q.dtype == DType::kBF16) return decode_range<DType::kBF16>(q, begin, end, out, out_dtype);
  decode_range<DType::kF32>(q, begin, end, out, out_dtype);
}

}  // namespace qe::cpu::QE_ISA
