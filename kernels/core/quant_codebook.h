// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The code tables of bitsandbytes' 4-bit types and of its 8-bit dynamic maps: the one copy, for
// host and device. Values are float32 bit patterns.

#include <bit>
#include <cstdint>

namespace qe {

enum class Quant4Type { kNf4, kFp4 };

/// Decoded value of each nibble.
inline constexpr float kNf4Values[16] = {-1.0f,
                                         -0.6961928009986877f,
                                         -0.5250730514526367f,
                                         -0.39491748809814453f,
                                         -0.28444138169288635f,
                                         -0.18477343022823334f,
                                         -0.09105003625154495f,
                                         0.0f,
                                         0.07958029955625534f,
                                         0.16093020141124725f,
                                         0.24611230194568634f,
                                         0.33791524171829224f,
                                         0.44070982933044434f,
                                         0.5626170039176941f,
                                         0.7229568362236023f,
                                         1.0f};
/// Decoded value of each nibble; bit 3 is the sign, the table is not sorted.
inline constexpr float kFp4Values[16] = {0.0f,
                                         0.0052083334885537624f,
                                         0.6666666865348816f,
                                         1.0f,
                                         0.3333333432674408f,
                                         0.5f,
                                         0.1666666716337204f,
                                         0.25f,
                                         -0.0f,
                                         -0.0052083334885537624f,
                                         -0.6666666865348816f,
                                         -1.0f,
                                         -0.3333333432674408f,
                                         -0.5f,
                                         -0.1666666716337204f,
                                         -0.25f};

// An NF4 code is the number of thresholds below the value: the fp32 midpoints of neighbours.
// clang-format off
inline constexpr float kNf4Thresholds[15] = {
    -0.8480964f, -0.6106329f, -0.45999527f, -0.33967942f, -0.2346074f,
    -0.13791174f, -0.045525018f, 0.03979015f, 0.12025525f, 0.20352125f,
    0.29201376f, 0.38931254f, 0.50166345f, 0.6427869f, 0.86147845f};
// clang-format on

// An FP4 code's low three bits, by how many of these lie below the magnitude. The thresholds are
// the literals of bitsandbytes' CUDA kernels, not quite the midpoints.
inline constexpr float kFp4Thresholds[7] = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f,
                                            0.4166667f,  0.583333f,  0.8333333f};
inline constexpr uint32_t kFp4CodeOfRank[8] = {0, 1, 6, 7, 4, 5, 2, 3};

// The signed dynamic map: for e = 0 .. 6, 2^e values of each sign spread over one decade ending at
// 10^(e - 6), and 0 and 1 (Dettmers 2016, arXiv:1511.04561). bitsandbytes computes it in fp32 and
// its builds differ in last bits; these are the ones written when quantizing.
inline constexpr uint32_t kDynamicMapBits[256] = {
    0xbf7e3333, 0xbf7a9999, 0xbf770000, 0xbf736666, 0xbf6fcccc, 0xbf6c3333, 0xbf68999a, 0xbf650000,
    0xbf616666, 0xbf5dcccc, 0xbf5a3333, 0xbf569999, 0xbf530000, 0xbf4f6666, 0xbf4bcccc, 0xbf483333,
    0xbf44999a, 0xbf410000, 0xbf3d6667, 0xbf39cccd, 0xbf363334, 0xbf32999a, 0xbf2f0000, 0xbf2b6667,
    0xbf27cccd, 0xbf243333, 0xbf20999a, 0xbf1d0000, 0xbf196666, 0xbf15cccd, 0xbf123334, 0xbf0e999a,
    0xbf0b0000, 0xbf076666, 0xbf03cccd, 0xbf003333, 0xbef93334, 0xbef20000, 0xbeeacccc, 0xbee3999a,
    0xbedc6666, 0xbed53332, 0xbece0000, 0xbec6cccc, 0xbebf999a, 0xbeb86666, 0xbeb13332, 0xbeaa0000,
    0xbea2cccc, 0xbe9b999a, 0xbe946666, 0xbe8d3334, 0xbe860000, 0xbe7d999a, 0xbe6f3334, 0xbe60cccd,
    0xbe526666, 0xbe440000, 0xbe359999, 0xbe273333, 0xbe18cccd, 0xbe0a6666, 0xbdf80000, 0xbddb3334,
    0xbdc9eb85, 0xbdc428f5, 0xbdbe6667, 0xbdb8a3d7, 0xbdb2e148, 0xbdad1eb8, 0xbda75c28, 0xbda1999a,
    0xbd9bd70a, 0xbd96147b, 0xbd9051eb, 0xbd8a8f5d, 0xbd84cccd, 0xbd7e147a, 0xbd728f5d, 0xbd670a3d,
    0xbd5b851f, 0xbd500000, 0xbd447ae1, 0xbd38f5c3, 0xbd2d70a3, 0xbd21eb85, 0xbd166667, 0xbd0ae147,
    0xbcfeb852, 0xbce7ae13, 0xbcd0a3d7, 0xbcb9999a, 0xbca28f5c, 0xbc8b851f, 0xbc68f5c3, 0xbc3ae148,
    0xbc1f3b64, 0xbc160418, 0xbc0ccccd, 0xbc039581, 0xbbf4bc6a, 0xbbe24dd3, 0xbbcfdf3b, 0xbbbd70a4,
    0xbbab020d, 0xbb989374, 0xbb8624dd, 0xbb676c8a, 0xbb428f5c, 0xbb1db22d, 0xbaf1a9fc, 0xbaa7ef9d,
    0xba7765ff, 0xba59e83e, 0xba3c6a80, 0xba1eecc1, 0xba016f01, 0xb9c7e283, 0xb98ce705, 0xb923d70b,
    0xb8ba1f4b, 0xb88aefb3, 0xb8378034, 0xb7b24206, 0xb70205ff, 0xb65a1a94, 0xb513a3b7, 0x00000000,
    0x3513a3b7, 0x365a1a94, 0x370205ff, 0x37b24206, 0x38378034, 0x388aefb3, 0x38ba1f4b, 0x3923d70b,
    0x398ce705, 0x39c7e283, 0x3a016f01, 0x3a1eecc1, 0x3a3c6a80, 0x3a59e83e, 0x3a7765ff, 0x3aa7ef9d,
    0x3af1a9fc, 0x3b1db22d, 0x3b428f5c, 0x3b676c8a, 0x3b8624dd, 0x3b989374, 0x3bab020d, 0x3bbd70a4,
    0x3bcfdf3b, 0x3be24dd3, 0x3bf4bc6a, 0x3c039581, 0x3c0ccccd, 0x3c160418, 0x3c1f3b64, 0x3c3ae148,
    0x3c68f5c3, 0x3c8b851f, 0x3ca28f5c, 0x3cb9999a, 0x3cd0a3d7, 0x3ce7ae13, 0x3cfeb852, 0x3d0ae147,
    0x3d166667, 0x3d21eb85, 0x3d2d70a3, 0x3d38f5c3, 0x3d447ae1, 0x3d500000, 0x3d5b851f, 0x3d670a3d,
    0x3d728f5d, 0x3d7e147a, 0x3d84cccd, 0x3d8a8f5d, 0x3d9051eb, 0x3d96147b, 0x3d9bd70a, 0x3da1999a,
    0x3da75c28, 0x3dad1eb8, 0x3db2e148, 0x3db8a3d7, 0x3dbe6667, 0x3dc428f5, 0x3dc9eb85, 0x3ddb3334,
    0x3df80000, 0x3e0a6666, 0x3e18cccd, 0x3e273333, 0x3e359999, 0x3e440000, 0x3e526666, 0x3e60cccd,
    0x3e6f3334, 0x3e7d999a, 0x3e860000, 0x3e8d3334, 0x3e946666, 0x3e9b999a, 0x3ea2cccc, 0x3eaa0000,
    0x3eb13332, 0x3eb86666, 0x3ebf999a, 0x3ec6cccc, 0x3ece0000, 0x3ed53332, 0x3edc6666, 0x3ee3999a,
    0x3eeacccc, 0x3ef20000, 0x3ef93334, 0x3f003333, 0x3f03cccd, 0x3f076666, 0x3f0b0000, 0x3f0e999a,
    0x3f123334, 0x3f15cccd, 0x3f196666, 0x3f1d0000, 0x3f20999a, 0x3f243333, 0x3f27cccd, 0x3f2b6667,
    0x3f2f0000, 0x3f32999a, 0x3f363334, 0x3f39cccd, 0x3f3d6667, 0x3f410000, 0x3f44999a, 0x3f483333,
    0x3f4bcccc, 0x3f4f6666, 0x3f530000, 0x3f569999, 0x3f5a3333, 0x3f5dcccc, 0x3f616666, 0x3f650000,
    0x3f68999a, 0x3f6c3333, 0x3f6fcccc, 0x3f736666, 0x3f770000, 0x3f7a9999, 0x3f7e3333, 0x3f800000};

/// Value `code` of the signed dynamic map.
[[gnu::always_inline]] constexpr float dynamic_map_value(int code) {
  return std::bit_cast<float>(kDynamicMapBits[code]);
}

/// An 8-bit code: ascending values, and where each one ends. x in [-1, 1] has the code that equals
/// the number of thresholds below x: the nearest value, of two equally near ones the even code.
struct DynamicMap {
  float value[256];
  float threshold[255];
};

consteval DynamicMap with_thresholds(DynamicMap map) {
  for (int i = 0; i < 255; ++i) {
    const float middle = (map.value[i] + map.value[i + 1]) * 0.5f;
    const uint32_t bits = std::bit_cast<uint32_t>(middle);
    // An odd code gives a tie away: its threshold is the number before the middle.
    map.threshold[i] = i % 2 == 0 ? middle : std::bit_cast<float>(middle > 0 ? bits - 1 : bits + 1);
  }
  return map;
}

consteval DynamicMap make_signed_dynamic_map() {
  DynamicMap map{};
  for (int i = 0; i < 256; ++i) map.value[i] = std::bit_cast<float>(kDynamicMapBits[i]);
  return with_thresholds(map);
}

// For e = 0 .. 6, 2^(e + 1) values spread over one decade ending at 10^(e - 6), and 0 and 1.
consteval DynamicMap make_unsigned_dynamic_map() {
  constexpr double kDecade[7] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0};
  DynamicMap map{};
  int code = 1;
  for (int e = 0; e < 7; ++e) {
    const int n = 2 << e;
    for (int k = 0; k < n; ++k) {
      map.value[code++] = static_cast<float>(kDecade[e] * (0.1 + 0.9 * (k + 0.5) / n));
    }
  }
  map.value[code] = 1.0f;
  return with_thresholds(map);
}

inline constexpr DynamicMap kSignedDynamicMap = make_signed_dynamic_map();
inline constexpr DynamicMap kUnsignedDynamicMap = make_unsigned_dynamic_map();

}  // namespace qe
