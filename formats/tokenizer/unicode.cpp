// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/unicode.h"

#include <algorithm>
#include <span>

#include "formats/library_versions.h"
#include "kernels/core/error.h"

namespace qe::unicode {
namespace {

constexpr char32_t kHangulBase = 0xAC00, kHangulCount = 11172;
constexpr char32_t kLeadBase = 0x1100, kVowelBase = 0x1161, kTrailBase = 0x11A7;
constexpr char32_t kVowelCount = 21, kTrailCount = 28;

/// Where each decomposition starts in kDecompositions, in order of code points.
const std::vector<uint32_t>& decomposition_starts() {
  static const std::vector<uint32_t> starts = [] {
    std::vector<uint32_t> list;
    for (size_t i = 0; i < kDecompositionsSize; i += 1 + (kDecompositions[i] >> 24)) {
      list.push_back(static_cast<uint32_t>(i));
    }
    return list;
  }();
  return starts;
}

char32_t decomposed_at(uint32_t start) { return kDecompositions[start] & 0xFFFFFF; }

}  // namespace

const CharTable& CharTable::get() {
  static const CharTable table;
  return table;
}

CharTable::CharTable() {
  const std::span<const Run> runs(kFlagRuns, kFlagRunCount);
  size_t run = 0;
  for (size_t block = 0; block < block_of_.size(); ++block) {
    std::array<uint8_t, 256> values;
    for (size_t k = 0; k < values.size(); ++k) {
      const char32_t c = static_cast<char32_t>(block << 8 | k);
      if (run + 1 < runs.size() && runs[run + 1].first <= c) ++run;
      values[k] = runs[run].value;
    }
    // Most blocks repeat the one before (ideographs, private use, unassigned planes).
    const bool repeats = block > 0 && std::equal(values.begin(), values.end(), blocks_.end() - 256);
    if (!repeats) blocks_.insert(blocks_.end(), values.begin(), values.end());
    block_of_[block] = static_cast<uint16_t>(blocks_.size() / 256 - 1);
  }
}

int to_lower(char32_t c, char32_t out[2]) {
  if (c == 0x130) {  // the only mapping to two code points
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  const std::span<const LowerRange> ranges(kLowerRanges, kLowerRangeCount);
  const auto range = std::partition_point(ranges.begin(), ranges.end(),
                                          [&](const LowerRange& r) { return r.last < c; });
  const bool maps =
      range != ranges.end() && range->first <= c && (c - range->first) % range->step == 0;
  out[0] = maps ? static_cast<char32_t>(static_cast<int32_t>(c) + range->delta) : c;
  return 1;
}

int decompose_canonical(char32_t c, uint8_t flags, char32_t out[4]) {
  if (c - kHangulBase < kHangulCount) {
    const char32_t index = c - kHangulBase;
    const char32_t trail = index % kTrailCount;
    out[0] = kLeadBase + index / (kVowelCount * kTrailCount);
    out[1] = kVowelBase + index / kTrailCount % kVowelCount;
    out[2] = kTrailBase + trail;
    return trail == 0 ? 2 : 3;
  }
  out[0] = c;
  if (!(flags & kDecomposes)) return 1;
  const std::vector<uint32_t>& starts = decomposition_starts();
  const auto at = std::partition_point(starts.begin(), starts.end(),
                                       [&](uint32_t start) { return decomposed_at(start) < c; });
  const int length = static_cast<int>(kDecompositions[*at] >> 24);
  std::copy_n(kDecompositions + *at + 1, length, out);
  return length;
}

uint8_t combining_class(char32_t c) {
  const std::span<const Run> runs(kCombiningClassRuns, kCombiningClassRunCount);
  const auto next = std::partition_point(runs.begin(), runs.end(),
                                         [&](const Run& run) { return run.first <= c; });
  return (next - 1)->value;
}

}  // namespace qe::unicode

namespace qe {
LibraryVersion version_of_unicode_tables() {
  return {"Unicode tables", cat("as ", unicode::kTablesSource), unicode::kTablesVersions};
}
}  // namespace qe
