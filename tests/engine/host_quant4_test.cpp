// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// What we quantize against what bitsandbytes' CPU path made of the same weights, every variant
// (tests/golden/quant4.safetensors, by scripts/make_quant4_goldens.py).
#include "engine/model/host_quant4.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "tests/support/golden.h"

namespace qe {
namespace {

// Where the codes of two values differ, what they decode to: 0 and -0 count as the same.
bool same_value(Quant4Type type, int a, int b) {
  const float* table = type == Quant4Type::kNf4 ? kNf4Values : kFp4Values;
  return table[a] == table[b];
}

int code_at(std::span<const std::byte> codes, int64_t i) {
  const int both = std::to_integer<int>(codes[static_cast<size_t>(i / 2)]);
  return i % 2 == 0 ? both >> 4 : both & 15;
}

// Whether x lies so near a threshold of its type (4 units in the last place, or in the gap between
// bitsandbytes' CPU and CUDA thresholds of FP4) that rounding decides its code.
bool is_near_tie(Quant4Type type, float x) {
  const std::span<const float> thresholds =
      type == Quant4Type::kNf4 ? std::span<const float>(kNf4Thresholds) : kFp4Thresholds;
  const float y = type == Quant4Type::kNf4 ? x : std::abs(x);
  for (const float t : thresholds) {
    if (std::abs(y - t) <= std::max(std::abs(t) * 0x1p-21f, 2e-9f)) return true;
  }
  return false;
}

struct Counts {
  int64_t values = 0, near_ties = 0, different_near_ties = 0, different = 0;
};

void compare_codes(const StoredQuant4& theirs, const StoredQuant4& ours,
                   const std::vector<float>& w, Counts& counts) {
  for (int64_t i = 0; i < theirs.n * theirs.k; ++i) {
    const int64_t begin = i / theirs.block_size * theirs.block_size;
    const int64_t end = std::min(begin + theirs.block_size, theirs.n * theirs.k);
    float largest = 0.0f;
    for (int64_t j = begin; j < end; ++j) largest = std::max(largest, std::abs(w[j]));
    const bool tie = largest > 0.0f && is_near_tie(theirs.type, w[i] * (1.0f / largest));
    const bool same = same_value(theirs.type, code_at(theirs.codes, i), code_at(ours.codes, i));
    counts.values += 1;
    counts.near_ties += tie;
    (tie ? counts.different_near_ties : counts.different) += same ? 0 : 1;
  }
}

std::vector<float> floats(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

TEST_CASE("4-bit weights made here are those that bitsandbytes makes, but for near ties") {
  const SafetensorsFile file(test::golden_path("quant4.safetensors"));
  const TensorLookup find = [&](const std::string& name) -> const StoredTensor* {
    const auto found = file.tensors().find(name);
    return found == file.tensors().end() ? nullptr : &found->second;
  };
  ThreadPool threads(2);
  Counts counts;
  int64_t n_scale_codes = 0, n_different_scale_codes = 0, n_variants = 0;
  // Where all scales are their mean, the codes are multiplied by 0: 0 there, 127 (a zero) here.
  int64_t n_codes_of_nothing = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    const std::optional<StoredQuant4> theirs = find_quant4(find, name);
    if (!theirs) continue;
    CAPTURE(name);
    ++n_variants;
    const char* source = theirs->dtype == DType::kF32   ? "source.float32"
                         : theirs->dtype == DType::kF16 ? "source.float16"
                                                        : "source.bfloat16";
    std::vector<float> w = test::golden_tensor(file, source);
    const HostQuant4 made(make_tensor(w.data(), theirs->n, theirs->k),
                          {theirs->type, theirs->nested(), theirs->block_size}, theirs->dtype,
                          threads);
    const StoredQuant4 ours = made.stored();
    compare_codes(*theirs, ours, w, counts);
    if (!theirs->nested()) {
      // The scale of a block of zeros is clamped to 1e-38 there and 0 here.
      CHECK(test::max_difference(floats(ours.absmax), floats(theirs->absmax)) < 1e-37);
      continue;
    }
    CHECK(std::abs(ours.nested_offset - theirs->nested_offset) <=
          1e-6f * std::abs(theirs->nested_offset));
    CHECK(test::relative_error(floats(ours.nested_absmax), floats(theirs->nested_absmax)) < 1e-6);
    const std::vector<float> nested_absmax = floats(theirs->nested_absmax);
    for (size_t i = 0; i < theirs->absmax_u8.size(); ++i) {
      const bool nothing = nested_absmax[i / kNestedBlock] == 0.0f;
      (nothing ? n_codes_of_nothing : n_scale_codes) += 1;
      n_different_scale_codes += !nothing && ours.absmax_u8[i] != theirs->absmax_u8[i];
    }
  }
  INFO(counts.values << " codes, " << counts.near_ties << " near ties, of which "
                     << counts.different_near_ties << " differ; " << n_scale_codes
                     << " codes of scales, " << n_different_scale_codes << " differ");
  CHECK(n_variants == 68);
  CHECK(counts.values == 68 * 16 * 52);
  CHECK(counts.near_ties == 0);
  CHECK(counts.different == 0);
  CHECK(n_scale_codes == 388);
  CHECK(n_codes_of_nothing == 6);  // blocks of 4096: one scale
  CHECK(n_different_scale_codes == 0);
}

}  // namespace qe
