// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The code tables of bitsandbytes' 4-bit types and of its signed 8-bit dynamic map: the one copy,
// for host and device. Values are float32 bit patterns.

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

}  // namespace qe
