// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sentencepiece models, written by hand: protobuf fields are a key, then the value.

#include <bit>
#include <cstdint>
#include <string>

#include "formats/tokenizer/sentencepiece_model.h"

namespace qe::test {

inline std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  return out + static_cast<char>(value);
}

inline std::string number_field(int field, uint64_t value) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(value);
}

inline std::string bytes_field(int field, const std::string& value) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(value.size()) + value;
}

inline std::string float_field(int field, float value) {
  std::string out = varint(static_cast<uint64_t>(field) << 3 | 5);
  for (int k = 0; k < 4; ++k) {
    out += static_cast<char>(std::bit_cast<uint32_t>(value) >> (8 * k) & 0xFF);
  }
  return out;
}

/// A piece of a model.
inline std::string piece_field(
    const std::string& text, float score,
    SentencepieceModel::PieceType type = SentencepieceModel::PieceType::kNormal) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) +
                            number_field(3, static_cast<uint64_t>(type)));
}

}  // namespace qe::test
