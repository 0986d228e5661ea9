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
constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTrailCount = 28;

/// Where each decomposition starts in a table, in order of code points.
std::vector<uint32_t> starts_of(std::span<const uint32_t> table) {
  std::vector<uint32_t> starts;
  for (size_t i = 0; i < table.size(); i += 1 + (table[i] >> 24)) {
    starts.push_back(static_cast<uint32_t>(i));
  }
  return starts;
}

/// The stored decomposition of c, which must be there.
int stored_decomposition(std::span<const uint32_t> table, const std::vector<uint32_t>& starts,
                         char32_t c, char32_t* out) {
  const auto at = std::partition_point(
      starts.begin(), starts.end(), [&](uint32_t start) { return (table[start] & 0xFFFFFF) < c; });
  const int length = static_cast<int>(table[*at] >> 24);
  std::copy_n(table.begin() + *at + 1, length, out);
  return length;
}

/// Reads runs in ascending order of code points.
auto run_reader(const Run* runs, size_t count) {
  return [runs, count, run = size_t{0}](char32_t c) mutable {
    while (run + 1 < count && runs[run + 1].first <= c) ++run;
    return runs[run].value;
  };
}

template <class T>
BlockTable<T> spread(const Run* runs, size_t count) {
  auto reader = run_reader(runs, count);
  return BlockTable<T>([&](char32_t c) { return static_cast<T>(reader(c)); });
}

uint64_t pair_of(char32_t first, char32_t second) { return uint64_t{first} << 32 | second; }

}  // namespace

const char* const kCategoryNames[kCategoryCount] = {
    // clang-format off
    "Cn", "Cc", "Cf", "Co", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl", "No", "Pc",
    "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"
    // clang-format on
};

const CharTable& CharTable::get() {
  static const CharTable table;
  return table;
}

CharTable::CharTable()
    : flags_(spread<uint16_t>(kFlagRuns, kFlagRunCount)),
      categories_(spread<uint8_t>(kCategoryRuns, kCategoryRunCount)) {}

uint8_t grapheme(char32_t c) {
  static const BlockTable<uint8_t> table = spread<uint8_t>(kGraphemeRuns, kGraphemeRunCount);
  return table[c];
}

uint8_t script(char32_t c) {
  static const BlockTable<uint8_t> table = spread<uint8_t>(kScriptRuns, kScriptRunCount);
  return table[c];
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

int decompose_canonical(char32_t c, uint16_t flags, char32_t out[4]) {
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
  static const std::span<const uint32_t> table(kDecompositions, kDecompositionsSize);
  static const std::vector<uint32_t> starts = starts_of(table);
  return stored_decomposition(table, starts, c, out);
}

int decompose_compatible(char32_t c, uint16_t flags, char32_t out[18]) {
  if (!(flags & kDecomposesCompat)) return decompose_canonical(c, flags, out);
  static const std::span<const uint32_t> table(kCompatDecompositions, kCompatDecompositionsSize);
  static const std::vector<uint32_t> starts = starts_of(table);
  return stored_decomposition(table, starts, c, out);
}

char32_t compose(char32_t first, char32_t second) {
  if (first - kLeadBase < kLeadCount && second - kVowelBase < kVowelCount) {
    const char32_t lead = first - kLeadBase, vowel = second - kVowelBase;
    return kHangulBase + (lead * kVowelCount + vowel) * kTrailCount;
  }
  if (first - kHangulBase < kHangulCount && (first - kHangulBase) % kTrailCount == 0 &&
      second - kTrailBase - 1 < kTrailCount - 1) {
    return first + (second - kTrailBase);
  }
  const std::span<const Composition> table(kCompositions, kCompositionCount);
  const auto at = std::partition_point(table.begin(), table.end(), [&](const Composition& entry) {
    return pair_of(entry.first, entry.second) < pair_of(first, second);
  });
  const bool found = at != table.end() && at->first == first && at->second == second;
  return found ? at->composed : 0;
}

uint8_t combining_class(char32_t c) {
  const std::span<const Run> runs(kCombiningClassRuns, kCombiningClassRunCount);
  const auto next = std::partition_point(runs.begin(), runs.end(),
                                         [&](const Run& run) { return run.first <= c; });
  return static_cast<uint8_t>((next - 1)->value);
}

}  // namespace qe::unicode

namespace qe {
LibraryVersion version_of_unicode_tables() {
  return {"Unicode tables", cat("as ", unicode::kTablesSource), unicode::kTablesVersions};
}
}  // namespace qe
